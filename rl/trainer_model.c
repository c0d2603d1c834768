/* Models as directories: opened with their tokenizer, or made of random weights. */
#include "rl/trainer.h"

#include "base/file.h"
#include "policy/adapter.h"
#include "tasks/demo_vocabulary.h"

status trainer_load_model(const char *dir, struct stream *s, struct policy_form form,
                          struct tokenizer **tokenizer, struct policy **policy) {
    *policy = NULL;
    TRY(tokenizer_open(tokenizer, dir));
    status failed = policy_open(policy, s, dir, form);
    if (!failed && tokenizer_size(*tokenizer) > (*policy)->config.vocab)
        failed = fail(EXIT_BAD_DATA,
                      "%s: the tokenizer knows %d ids, the policy's embedding has %d rows", dir,
                      tokenizer_size(*tokenizer), (*policy)->config.vocab);
    if (!failed && (*policy)->config.n_eos == 0)
        failed = fail(EXIT_BAD_DATA,
                      "%s: config.json has no eos_token_id, expected the token that ends an answer",
                      dir);
    if (failed) {
        policy_close(*policy);
        tokenizer_close(*tokenizer);
        *policy = NULL, *tokenizer = NULL;
        return failed;
    }
    (*policy)->valid_vocab = tokenizer_size(*tokenizer); /* the other rows are padding */
    return NULL;
}

status trainer_adapt(struct policy *p, const struct lora_config *lora, uint64_t seed,
                     const char *dir) {
    if (lora->rank == 0) return NULL;
    TRY(adapter_add(p, &(struct adapter_shape){(int)lora->rank, lora->alpha, lora->targets}, seed));
    return dir[0] ? adapter_load(p, dir) : NULL;
}

static status model_write(const char *dir, struct stream *s, const struct model_config *shape,
                          uint64_t seed) {
    struct policy_config config;
    struct policy *p = NULL;
    struct tokenizer *tokenizer = NULL;
    TRY(file_make_dirs(dir));
    TRY(demo_vocabulary_write(dir));
    TRY(tokenizer_open(&tokenizer, dir));
    int32_t eos = tokenizer_id(tokenizer, SPAN(DEMO_END_OF_TEXT));
    status failed = model_config_shape(shape, tokenizer_size(tokenizer), eos, &config);
    if (!failed)
        failed = policy_init(&p, s, &config, seed, shape->embed_std, (struct policy_form){0});
    if (!failed) failed = policy_save(p, dir);
    policy_close(p);
    tokenizer_close(tokenizer);
    return failed;
}

status trainer_init_model(const char *dir, struct stream *s, const struct model_config *shape,
                          uint64_t seed) {
    struct arena arena = {0};
    struct span name = span_of(dir);
    while (name.n > 1 && name.p[name.n - 1] == '/') name.n--;
    const char *temporary = arena_print(&arena, "%.*s.tmp", SPAN_FMT(name));
    status failed = file_remove_tree(temporary);
    if (!failed) failed = model_write(temporary, s, shape, seed);
    if (!failed) failed = file_sync(temporary);
    if (!failed) failed = file_rename(temporary, dir);
    if (failed) status_free(file_remove_tree(temporary)); /* the first failure is the one to tell */
    arena_free(&arena);
    return failed;
}
