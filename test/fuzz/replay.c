/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main of a fuzz target without libFuzzer: tries each file given, or each
 * of a directory given, once.  For the corpus as a unit test, and to look at a
 * finding under a debugger.
 *
 *     fuzz_uri FILE|DIRECTORY...
 *
 * Before each input its name is printed: what crashes has the last one.  What
 * is accepted or refused against its name is a failure.
 */
#include <fts.h>
#include <string.h>
#include "fuzz.h"

/* Targets that have nothing to prepare leave it out. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Longer than any input that a fuzzer is told to make. */
#define INPUT_MAX (1 << 20)

/* A copy of exactly its size, so that sanitizers see what reads beyond it. */
static bool try_file(const char *path)
{
    static uint8_t buf[INPUT_MAX];
    FILE *file = fopen(path, "rbe");
    uint8_t *data;
    size_t size;
    bool ok;

    if (file == NULL) {
        perror(path);
        return false;
    }
    size = fread(buf, 1, sizeof(buf), file);
    ok = !ferror(file) && feof(file);
    (void)fclose(file);
    data = malloc(size > 0 ? size : 1);
    if (!ok || data == NULL) {
        (void)fprintf(stderr, "%s: cannot be read\n", path);
        free(data);
        return false;
    }
    for (size_t i = 0; i < size; i++)
        data[i] = buf[i];
    (void)printf("# %s\n", path);
    (void)fflush(stdout);
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    return true;
}

/* What the name of a seed says of it; see fuzz.h. */
static bool as_named(const char *name)
{
    bool ok = strncmp(name, fuzz_accepted ? "bad-" : "good-",
                      fuzz_accepted ? 4 : 5) != 0;

    if (!ok)
        (void)fprintf(stderr, "%s: %s\n", name,
                      fuzz_accepted ? "accepted" : "refused");
    return ok;
}

static bool try_all(char **paths, size_t *count)
{
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *entry;
    bool ok = tree != NULL;

    while (ok && (entry = fts_read(tree)) != NULL) {
        if (entry->fts_info == FTS_D || entry->fts_info == FTS_DP)
            continue;
        ok = try_file(entry->fts_path) && as_named(entry->fts_name);
        *count += 1;
    }
    if (tree == NULL)
        perror("fts_open");
    else
        (void)fts_close(tree);
    return ok;
}

int main(int argc, char **argv)
{
    size_t count = 0;
    bool ok;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s FILE|DIRECTORY...\n", argv[0]);
        return 2;
    }
    if (LLVMFuzzerInitialize != NULL)
        (void)LLVMFuzzerInitialize(&argc, &argv);
    ok = try_all(argv + 1, &count);
    /* A corpus that is not there must not look like one without findings. */
    ok = ok && count > 0;
    (void)printf("1..1\n%s 1 - %zu inputs are handled\n", ok ? "ok" : "not ok",
                 count);
    return ok ? 0 : 1;
}
