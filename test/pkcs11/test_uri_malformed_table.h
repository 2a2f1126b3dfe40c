/* SPDX-License-Identifier: Apache-2.0 */
/* Malformed URIs, and what the error of each has to say. */
#ifndef HSMSIGN_TEST_URI_MALFORMED_TABLE_H
#define HSMSIGN_TEST_URI_MALFORMED_TABLE_H

/* Every PIN in the tables: no error may show it. */
#define SECRET "S3cr3t"

struct uri_malformed {
    const char *uri;      /* NULL ends the table */
    const char *fragment; /* of the error's text */
};

extern const struct uri_malformed uri_malformed[];   /* P11_URI_INVALID */
extern const struct uri_malformed uri_no_pin_file[]; /* P11_PIN_SOURCE */

#endif
