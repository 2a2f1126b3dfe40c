/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets share.  A target is one file fuzz_NAME.c that defines
 * LLVMFuzzerTestOneInput(), and LLVMFuzzerInitialize() where it has something
 * to prepare; both return 0.
 *
 * test/fuzz.sh links it with libFuzzer, whose main makes inputs; the unit
 * tests link it with replay.c, whose main tries each file of the corpus once.
 */
#ifndef HSMSIGN_TEST_FUZZ_H
#define HSMSIGN_TEST_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * The target's: whether the last input gave what a good one gives (a URI, a
 * key), which replay.c expects of the files whose names begin with "good-",
 * and not of those that begin with "bad-".
 */
extern bool fuzz_accepted;

/* Not assert(), which a release build drops. */
static inline void fuzz_check(bool condition, const char *what)
{
    if (condition)
        return;
    (void)fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

#endif
