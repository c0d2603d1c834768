#include "cli/session.h"

#include "base/version.h"
#include "cli/arguments.h"
#include "policy/adapter.h"

status session_arguments(struct settings *settings, const struct command_option *options,
                         const char **values, const char **operands, size_t operands_max, int argc,
                         char **argv) {
    schema_open(settings);
    struct arguments a = {.options = options,
                          .values = values,
                          .operands = operands,
                          .operands_max = operands_max,
                          .config = &settings->config};
    status failed = arguments_read(&a, argc, argv);
    if (failed) schema_close(settings);
    return failed;
}

struct stream_config session_stream(const struct settings *s) {
    return (struct stream_config){
        s->general.device, s->general.isa, general_threads(&s->general, 1),
        strcmp(s->general.cuda_gemm, "cublas") == 0, s->general.cuda_graphs};
}

struct policy_form session_form(const struct settings *s, int positions, bool inference) {
    return (struct policy_form){.max_positions = positions,
                                .bf16 = strcmp(s->general.dtype, "bf16") == 0,
                                .inference = inference};
}

struct trainer_config session_trainer(const struct settings *s, enum trainer_kind kind) {
    return (struct trainer_config){
        .kind = kind,
        .version = GRPO_VERSION,
        .model = s->general.model,
        .bf16 = session_form(s, 0, false).bf16,
        .seed = s->general.seed,
        .steps = s->general.steps,
        .stream = session_stream(s),
        .config = &s->config,
        .shape = &s->model,
        .tasks = &s->tasks,
        .trace = &s->trace,
        .rollout = &s->rollout,
        .reward = &s->reward,
        .rl = &s->rl,
        .train = &s->train,
        .lora = &s->lora,
        .adapter = s->general.adapter,
        .optim = &s->optim,
        .sft = &s->sft,
        .eval = &s->eval,
        .run = &s->run,
        .store = &s->store,
        .checkpoint = &s->checkpoint,
        .console = &s->console,
    };
}

status session_open(struct session *out, const struct settings *s, int max_new, int samples) {
    *out = (struct session){0};
    if (!s->general.model[0])
        return fail(EXIT_USAGE_ERROR, "no model; expected model=DIR, a Hugging Face directory");
    struct stream_config stream = session_stream(s);
    int batch = (int)s->rollout.batch; /* caches of more than the samples would only cost time */
    struct engine_config engine = {.max_batch = samples && samples < batch ? samples : batch,
                                   .max_positions = (int)s->rollout.max_prompt_tokens + max_new,
                                   .share_prefix = true};
    status failed = stream_open(&out->stream, &stream);
    if (!failed)
        failed = trainer_load_model(s->general.model, out->stream,
                                    session_form(s, engine.max_positions, true), &out->tokenizer,
                                    &out->policy);
    if (!failed) {
        if (s->general.adapter[0]) failed = adapter_open(out->policy, s->general.adapter);
        if (engine.max_positions > out->policy->max_positions)
            engine.max_positions = out->policy->max_positions;
        out->positions = engine.max_positions;
        if (!failed) failed = engine_open(&out->engine, out->policy, &engine);
    }
    if (failed) session_close(out);
    return failed;
}

void session_close(struct session *session) {
    engine_close(session->engine);
    policy_close(session->policy);
    tokenizer_close(session->tokenizer);
    if (session->stream) op_close(session->stream);
    *session = (struct session){0};
}
