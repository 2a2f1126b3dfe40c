/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which documents hsmsign sign --out-dir signs, and the names of their
 * signatures: the last part of the document's path and an extension.  That two
 * signatures do not get one name, and none that of a document, is seen before
 * anything is signed; from the names alone, since to look at 10,000 files on a
 * network's file system takes longer than to sign them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include "hsmsign_batch.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static void cut_slashes(char *path)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/')
        path[--len] = '\0';
}

/* All of the file, and a NUL that its last name may lack. */
static BIO *read_names(const char *path)
{
    struct input in;
    BIO *mem = BIO_new(BIO_s_mem());
    char *data = NULL;
    long len;
    int ok = 0;

    if (input_open(&in, path)) {
        ok = mem != NULL && signer_copy(in.bio, mem, 0);
        input_close(&in);
    }
    len = mem == NULL ? 0 : BIO_get_mem_data(mem, &data);
    if (ok && len > 0 && data[len - 1] != '\0')
        ok = BIO_write(mem, "", 1) == 1;
    if (!ok) {
        BIO_free(mem);
        mem = NULL;
    }
    return mem;
}

static size_t count_names(const char *data, size_t len)
{
    const char *end = data + len;
    size_t n = 0;

    for (; data < end; data += strlen(data) + 1)
        n++;
    return n;
}

int batch_list_read(struct batch_list *list, char **operands, size_t n,
                    const char *files_from)
{
    char *data = NULL;
    size_t len = 0, total = n, i;

    *list = (struct batch_list){ 0 };
    if (files_from != NULL) {
        list->buffer = read_names(files_from);
        if (list->buffer == NULL)
            return 0;
        len = (size_t)BIO_get_mem_data(list->buffer, &data);
        total += count_names(data, len);
    }
    list->path = calloc(total + 1, sizeof(*list->path));
    if (list->path == NULL) {
        cli_raise_errno("calloc");
        return 0;
    }
    for (i = 0; i < n; i++)
        list->path[list->count++] = operands[i];
    for (; data != NULL && list->count < total; data += strlen(data) + 1)
        list->path[list->count++] = data;
    /* Behind the loop that steps over names by their length. */
    for (i = 0; i < total; i++)
        cut_slashes(list->path[i]);
    return 1;
}

void batch_list_free(struct batch_list *list)
{
    BIO_free(list->buffer);
    free(list->path);
    *list = (struct batch_list){ 0 };
}

char *batch_output(const char *dir, const char *path, const char *extension)
{
    char *output = NULL;

    if (asprintf(&output, "%s/%s%s", dir, base_name(path), extension) < 0) {
        cli_raise_errno("asprintf");
        return NULL;
    }
    return output;
}

/* For qsort and bsearch, of pointers to paths. */
static int compare(const void *a, const void *b)
{
    return strcmp(base_name(*(char *const *)a), base_name(*(char *const *)b));
}

static int check_twice(char *const *sorted, size_t n)
{
    size_t i;

    for (i = 1; i < n; i++) {
        if (compare(&sorted[i - 1], &sorted[i]) == 0)
            return cli_usage("sign", "%s and %s would have one signature",
                             sorted[i - 1], sorted[i]);
    }
    return CLI_OK;
}

/* Whether path is where the signature of one of the documents goes. */
static bool replaced(char *const *sorted, size_t n, const char *path,
                     const char *dir, const char *extension)
{
    const char *base = base_name(path);
    size_t len = strlen(base), cut = strlen(extension);
    char *document, *output;
    bool yes;

    if (len <= cut || strcmp(base + len - cut, extension) != 0)
        return false;
    document = strndup(base, len - cut);
    output = batch_output(dir, base, "");
    yes = document != NULL && output != NULL &&
          bsearch(&document, sorted, n, sizeof(*sorted), compare) != NULL &&
          same_file(output, path);
    free(document);
    free(output);
    return yes;
}

int batch_list_check(const struct batch_list *list, const char *dir,
                     const char *extension, const char *const *other, size_t n)
{
    char **sorted = calloc(list->count + 1, sizeof(*sorted));
    int status = CLI_OK;
    size_t i;

    if (sorted == NULL) {
        cli_raise_errno("calloc");
        return cli_fail("memory");
    }
    for (i = 0; i < list->count && status == CLI_OK; i++) {
        sorted[i] = list->path[i];
        if (sorted[i][0] == '\0' || strcmp(sorted[i], "-") == 0)
            status = cli_usage("sign",
                               "\"%s\" is no file that can be signed "
                               "into --out-dir (write ./- for one of "
                               "that name)",
                               sorted[i]);
    }
    if (status == CLI_OK) {
        qsort(sorted, list->count, sizeof(*sorted), compare);
        status = check_twice(sorted, list->count);
    }
    for (i = 0; i < list->count + n && status == CLI_OK; i++) {
        const char *path =
            i < list->count ? list->path[i] : other[i - list->count];

        if (path != NULL && replaced(sorted, list->count, path, dir, extension))
            status = cli_usage("sign", "a signature would overwrite %s", path);
    }
    free(sorted);
    return status;
}
