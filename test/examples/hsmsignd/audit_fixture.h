/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the audit log share: a directory, an audit log in it, and
 * what the verifier says of it.  Include after <cmocka.h>.
 */
#ifndef HSMSIGN_TEST_AUDIT_FIXTURE_H
#define HSMSIGN_TEST_AUDIT_FIXTURE_H

#include "../../../examples/hsmsignd/audit.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LINES        5 /* that write_log() makes */

struct audit_fixture {
    char dir[256];
    char path[320], other[320]; /* the log, and one more */
    char error[256];
    char *text; /* of the log, owned, and its size */
    size_t len;
    size_t begin[LINES + 1]; /* of its lines, and its end */
    char *out, *err;         /* of audit_verify(), owned */
};

/* cmocka's */
int audit_setup(void **state);
int audit_teardown(void **state);

/* Open the log, or fail with the reason. */
struct audit *open_audit(struct audit_fixture *f, bool sync);
/* Write line number i. */
bool write_entry(struct audit *a, unsigned i, struct audit_mark *mark);
/* Make a log of LINES lines, with the one for the opening, and read it. */
void write_log(struct audit_fixture *f);
/* Read the log into f->text. */
void read_log(struct audit_fixture *f);
/* Write a file, or append to it. */
void put_file(const char *path, const char *mode, const void *data, size_t len);

/* Of path and, unless NULL, other: audit_verify()'s status, out and err. */
int verify(struct audit_fixture *f, const char *path, const char *other);
/* The log is good for both, ours and the second opinion. */
void assert_good(struct audit_fixture *f, const char *path, const char *other);
/* Broken for both, and err has the text. */
void assert_broken(struct audit_fixture *f, const char *text);

#endif
