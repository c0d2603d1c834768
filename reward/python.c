#include "reward/python.h"

#include "base/clock.h"
#include "base/json.h"
#include "reward/python_worker.h"
#include "reward/reward_config.h"

#include <math.h>
#include <poll.h>
#include <stdlib.h>

enum { GRACE_S = 1 }; /* for a process to end when its input is closed */

/* A process and the slice of the batch it scores. */
struct seat {
    struct worker worker;
    bool ready; /* it has said that the function is loaded */
    bool busy;  /* something is awaited from it: its first word, or a reply */
    int64_t id; /* of the request; 0: none */
    size_t n;   /* items of it */
    double *out;
    char *trouble; /* malloced: why it did not become ready; NULL when it says nothing */
};

struct python {
    struct worker_command command;
    double timeout_s;
    int64_t last_id;
    struct seat seats[PYTHON_WORKERS_MAX];
    int n_seats;
};

/* ---- what is said ---- */

static void put(json_t *object, const char *name, json_t *value) {
    bool stored = json_object_set_new(object, name, value) == 0;
    REQUIRE(stored); /* only the want of memory makes jansson fail here */
}

static json_t *item_json(const struct reward_item *item) {
    const struct problem *p = item->problem;
    json_t *out = json_object(), *columns;
    put(out, "id", json_text(span_of(p->id)));
    put(out, "source", json_text(span_of(p->source)));
    put(out, "question", json_text(p->question));
    put(out, "gold", json_text(p->gold));
    put(out, "prompt", json_text(item->prompt));
    put(out, "completion", json_text(item->completion));
    put(out, "n_tokens", json_integer(item->n_tokens));
    put(out, "truncated", json_boolean(item->finish == FINISH_LENGTH));
    if (p->n_numbers) {
        json_t *numbers = json_array();
        for (int i = 0; i < p->n_numbers; i++)
            json_array_append_new(numbers, json_integer(p->numbers[i]));
        put(out, "numbers", numbers);
        put(out, "target", json_integer(p->target));
    }
    if (p->columns.n == 0) return out;
    status unread = json_parse(&columns, p->columns, "columns", 1);
    REQUIRE(!unread); /* they were written by json_canonical */
    put(out, "columns", columns);
    return out;
}

static void request_hand(struct seat *seat, int64_t id, const struct reward_item *items, size_t n) {
    json_t *request = json_object(), *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, item_json(&items[i]));
    put(request, "id", json_integer(id));
    put(request, "items", list);
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    REQUIRE(text);
    size_t length = strlen(text);
    text[length] = '\n'; /* in the place of the end: the worker goes by the length */
    worker_hand(&seat->worker, text, length + 1);
}

/* The first word: whether the function is loaded. */
static bool read_hello(struct seat *seat, const json_t *message) {
    struct span error = json_span(json_object_get(message, "error"));
    if (error.n) {
        seat->trouble = memory_new(error.n + 1, 1);
        memcpy(seat->trouble, error.p, error.n);
    }
    seat->ready = json_integer_value(json_object_get(message, "grpo_reward")) == 1;
    seat->busy = seat->id != 0;
    return seat->ready;
}

static bool read_rewards(struct seat *seat, const json_t *message) {
    const json_t *rewards = json_object_get(message, "rewards");
    if (json_integer_value(json_object_get(message, "id")) != seat->id) return false;
    if (!json_is_array(rewards) || json_array_size(rewards) != seat->n) return false;
    for (size_t i = 0; i < seat->n; i++) {
        const json_t *value = json_array_get(rewards, i);
        if (json_is_number(value)) seat->out[i] = json_number_value(value);
        if (json_is_null(value)) seat->out[i] = NAN; /* and what is neither has failed */
    }
    seat->busy = false;
    return true;
}

/* Reads the lines that have come. False when one is not what the protocol wants. */
static bool read_lines(struct seat *seat) {
    struct span line;
    while (worker_line(&seat->worker, &line)) {
        json_t *message;
        status s = json_parse(&message, line, "reward.python", 1);
        status_free(s);
        if (s) return false;
        bool good =
            seat->busy && (seat->ready ? read_rewards(seat, message) : read_hello(seat, message));
        json_decref(message);
        if (!good) return false;
        worker_drop_line(&seat->worker);
    }
    return true;
}

/* ---- processes ---- */

static void seat_stop(struct seat *seat, double grace_s) {
    worker_stop(&seat->worker, grace_s);
    seat->ready = seat->busy = false;
}

static status seat_start(struct python *p, struct seat *seat) {
    free(seat->trouble);
    seat->trouble = NULL;
    seat->id = 0;
    TRY(worker_start(&seat->worker, &p->command));
    seat->busy = true;
    return NULL;
}

static void seat_move(struct seat *seat, short events) {
    bool alive = true;
    if (events & POLLOUT) alive = worker_send(&seat->worker);
    if (alive && (events & (POLLIN | POLLHUP | POLLERR))) {
        alive = worker_receive(&seat->worker);
        /* What it said before it ended still counts. */
        alive = read_lines(seat) && alive;
    }
    if (!alive) seat_stop(seat, 0);
}

/* Speaks with all that are busy until none is, or until the deadline; those that are late are killed. */
static void converse(struct python *p, double deadline) {
    for (;;) {
        struct pollfd polls[PYTHON_WORKERS_MAX];
        int of[PYTHON_WORKERS_MAX], n = 0;
        double left = deadline - clock_seconds();
        for (int i = 0; i < p->n_seats; i++) {
            struct seat *seat = &p->seats[i];
            if (!seat->busy) continue;
            if (left <= 0) {
                seat_stop(seat, 0);
                continue;
            }
            short events = worker_has_more(&seat->worker) ? POLLIN | POLLOUT : POLLIN;
            polls[n] = (struct pollfd){.fd = seat->worker.fd, .events = events};
            of[n++] = i;
        }
        if (n == 0) return;
        int moved = poll(polls, (nfds_t)n, left < 1000 ? (int)(left * 1000) + 1 : 1000 * 1000);
        for (int i = 0; i < n && moved > 0; i++)
            if (polls[i].revents) seat_move(&p->seats[of[i]], polls[i].revents);
    }
}

status python_open(struct python **out, const struct reward_config *config) {
    struct python *p = memory_new(1, sizeof *p);
    p->command = (struct worker_command){config->python_interpreter, config->python_function,
                                         config->python_style};
    p->timeout_s = config->python_timeout;
    p->n_seats = (int)config->python_workers;
    status s = NULL;
    for (int i = 0; i < p->n_seats && !s; i++) s = seat_start(p, &p->seats[i]);
    if (!s) converse(p, clock_seconds() + p->timeout_s);
    for (int i = 0; i < p->n_seats && !s; i++) {
        const struct seat *seat = &p->seats[i];
        if (!seat->ready)
            s = fail(EXIT_BAD_CONFIG, "reward.python.function=%s: %.400s", config->python_function,
                     seat->trouble ? seat->trouble : "its process ended, or was not ready in time");
    }
    if (s) {
        python_close(p);
        return s;
    }
    *out = p;
    return NULL;
}

void python_close(struct python *p) {
    if (!p) return;
    for (int i = 0; i < p->n_seats; i++) {
        seat_stop(&p->seats[i], p->seats[i].ready ? GRACE_S : 0);
        free(p->seats[i].trouble);
    }
    free(p);
}

void python_score(struct python *p, const struct reward_item *items, size_t n, double *out) {
    for (size_t i = 0; i < n; i++) out[i] = INFINITY; /* until somebody says otherwise */
    for (int i = 0; i < p->n_seats; i++) {
        struct seat *seat = &p->seats[i];
        size_t begin = n * (size_t)i / (size_t)p->n_seats;
        size_t end = n * ((size_t)i + 1) / (size_t)p->n_seats;
        if (begin == end) continue;
        status unstarted = seat->worker.pid ? NULL : seat_start(p, seat);
        status_free(unstarted); /* no process, no reward: the slice has failed */
        if (unstarted) continue;
        seat->id = ++p->last_id;
        seat->n = end - begin;
        seat->out = out + begin;
        seat->busy = true;
        request_hand(seat, seat->id, items + begin, seat->n);
    }
    converse(p, clock_seconds() + p->timeout_s);
}
