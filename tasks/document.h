/* Documents: text of which some parts are learned. What a warm start trains on. */
#pragma once

#include "base/arena.h"

enum document_kind { DOCUMENT_TRACE, DOCUMENT_ARITHMETIC, DOCUMENT_CHECK, DOCUMENT_LOOKAHEAD };

const char *document_kind_name(enum document_kind kind); /* "trace", "arithmetic", ... */

struct document_piece {
    struct span text;
    bool loss; /* its tokens are learned */
};

struct document {
    struct span text;
    struct span prompt, completion; /* slices of text; a drill is all completion */
    /* Slices of text that together make all of it. They end where tokens end: encoding them one by
     * one gives the ids of the text. */
    struct document_piece *pieces; /* [n_pieces] */
    size_t n_pieces;
    bool end; /* the end-of-text token follows, and is learned */
    enum document_kind kind;
    int attempts; /* of a trace */
    bool hit;     /* the trace reached the target */
};

/* Writes a document from left to right. Begin with {.arena = ...}. */
struct document_writer {
    struct arena *arena;
    char *text; /* [n] of capacity */
    size_t n, capacity;
    struct document_piece *pieces; /* [n_pieces] of piece_capacity; text.p is set at the end */
    size_t n_pieces, piece_capacity;
};

/* Appends text; it joins the last piece when that has the same loss. */
void document_put(struct document_writer *w, bool loss, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The document; its first n_prompt bytes are the prompt. The remaining members are the caller's. */
struct document document_finish(struct document_writer *w, size_t n_prompt);
