/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign sign --out-dir: many documents by one process.
 *
 *   hsmsign_batch_list.c  which files, and what their signatures are named
 *   hsmsign_batch.c       the threads that sign them, and what is said of it
 */
#ifndef HSMSIGN_BATCH_H
#define HSMSIGN_BATCH_H

#include "hsmsign_tool.h"

/* The documents, in the order given; those of --files-from live in buffer. */
struct batch_list {
    char **path;
    size_t count;
    BIO *buffer;
};

/*
 * The n operands, and those of the file files_from ("-" is standard input, NULL
 * is none), where a NUL ends each name.  Slashes at the end of a name are cut
 * off, in place.  Raises what is wrong with files_from.
 */
int batch_list_read(struct batch_list *list, char **operands, size_t n,
                    const char *files_from);
void batch_list_free(struct batch_list *list);

/*
 * Whether each document has a signature of its own to go to, and none of these
 * replaces a document or one of the n other files (NULL is no file).  Returns
 * an exit status after it said what is wrong.
 */
int batch_list_check(const struct batch_list *list, const char *dir,
                     const char *extension, const char *const *other, size_t n);

/* DIR/NAME.EXTENSION, for free(); NULL is no memory. */
char *batch_output(const char *dir, const char *path, const char *extension);

/* More threads than that are of no use to a token that answers in 2 ms. */
#define BATCH_THREADS_DEFAULT 64
#define BATCH_THREADS_MAX     OUTPUTS_MAX

/* Nothing in it is owned. */
struct batch {
    const struct signer *signer; /* complete; all threads share it */
    bool raw, cades;             /* neither: cms */
    const struct batch_list *list;
    const char *dir, *extension;
    size_t threads;
    bool force; /* sign what has a valid signature, too */
    bool quiet; /* neither progress nor summary */
};

/*
 * Sign all of the list and say on standard error what was done; blocks until
 * then, or until a failure that concerns the rest as well.  A signal that ends
 * the program leaves no temporary files.  Returns the exit status.
 */
int batch_sign(const struct batch *batch);

#endif
