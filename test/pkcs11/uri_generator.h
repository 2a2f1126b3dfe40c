/* SPDX-License-Identifier: Apache-2.0 */
/* URIs to try a parser with: see uri_generator.c. */
#ifndef HSMSIGN_TEST_URI_GENERATOR_H
#define HSMSIGN_TEST_URI_GENERATOR_H

#include <stdint.h>

#define URI_GENERATED_SIZE 4096

struct uri_generator {
    uint64_t state; /* the seed; the same one gives the same texts */
    char text[URI_GENERATED_SIZE];
};

/* Leave in text a URI made by RFC 7512's grammar, with a few slips. */
void uri_generate(struct uri_generator *gen);

/* Leave in text one of a list of good URIs after a few edits. */
void uri_mutate(struct uri_generator *gen);

#endif
