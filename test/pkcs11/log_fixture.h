/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of pkcs11/log share: a directory with a log in it, and its
 * lines.  Include after <cmocka.h>.
 */
#ifndef HSMSIGN_TEST_LOG_FIXTURE_H
#define HSMSIGN_TEST_LOG_FIXTURE_H

#include "../../pkcs11/log.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LINES_MAX    4096

/* One test's directory, and the log in it. */
struct log_fixture {
    char dir[256];
    char path[320];
    char spec[400];
    char *content; /* of the log, owned; with lines cut into strings */
    char *lines[LINES_MAX];
    size_t n_lines;
};

/* cmocka's; teardown closes the log. */
int log_setup(void **state);
int log_teardown(void **state);

/* Open the log, or fail with its reason. */
void open_log(const char *spec);

/* Read the log into f->lines; every line must be whole. */
void read_log(struct log_fixture *f);

#endif
