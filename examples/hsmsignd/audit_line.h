/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line of the audit log, as text and as its place in the chain.
 *
 *     {"seq":N,"time":...,"prev":"HASH","this":"HASH"}
 *
 * "this" is the SHA-256 of the line's bytes before ,"this": and "prev" is the
 * one of the line before.
 */
#ifndef HSMSIGND_AUDIT_LINE_H
#define HSMSIGND_AUDIT_LINE_H

#include "audit.h"

/* No line is as long, in bytes with its newline. */
#define AUDIT_LINE_MAX ((size_t)8192)
/* "prev" of the first. */
#define AUDIT_NO_HASH                                                          \
    "0000000000000000000000000000000000000000000000000000000000000000"

struct audit_line {
    uint64_t seq; /* from 1 */
    char prev[AUDIT_HASH], this[AUDIT_HASH];
    char torn[AUDIT_HASH]; /* of what stands before it and is no line, or "" */
};

enum audit_line_state {
    AUDIT_LINE_GOOD,
    AUDIT_LINE_CUT,     /* it may be the begin of one */
    AUDIT_LINE_ALTERED, /* all there, but for its hash */
    AUDIT_LINE_ALIEN
};

/* Into hex, which has room for twice the bytes and a NUL. */
void audit_hex(const unsigned char *data, size_t len, char *hex);
/* SHA-256 in hex; false: there is no memory. */
bool audit_hash(const void *data, size_t len, char hash[AUDIT_HASH]);

/*
 * Make the line, with its newline, of line->seq, prev and torn, and fill in
 * line->this.  e NULL: it says that the file was opened.  Returns its length;
 * 0: there is no memory.
 */
size_t audit_line_make(const struct audit_entry *e, struct audit_line *line,
                       char text[AUDIT_LINE_MAX]);

/* What text, without its newline, is; *line is filled in if that is good. */
enum audit_line_state audit_line_read(const char *text, size_t len,
                                      struct audit_line *line);

#endif
