/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes pkcs11/uri: what is accepted is shown, and what is shown is accepted
 * and means the same; what is refused has a reason that can be printed.
 *
 *     clang -g -fsanitize=fuzzer,address,undefined ... fuzz_uri.c
 *
 * With HSMSIGN_FUZZ_MAIN it is a program that tries the files given to it
 * once each: to replay a finding or a corpus without libFuzzer.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../pkcs11/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(), which a release build drops. */
static void check(bool condition, const char *what, const char *text)
{
    if (condition)
        return;
    (void)fprintf(stderr, "%s: %s\n", what, text);
    abort();
}

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~')
            return false;
    }
    return true;
}

/* Three characters for each byte, at most, and some numbers. */
#define SHOWN_SIZE (3 * P11_URI_MAX + 64)

static void check_shown(const struct p11_uri *uri, const char *text)
{
    char shown[SHOWN_SIZE], again[SHOWN_SIZE], cut[64];
    struct p11_uri *copy;
    struct p11_error err;

    p11_uri_describe(uri, shown, sizeof(shown));
    check(strlen(shown) + 1 < sizeof(shown), "too long", text);
    check(is_printable(shown), "not printable", text);
    check(strpbrk(shown, "?!$'\"`\\ ") == NULL, "cannot be quoted", text);
    p11_uri_describe(uri, cut, sizeof(cut));
    check(strlen(cut) < sizeof(cut), "cut wrongly", text);
    if (strlen(shown) > P11_URI_MAX)
        return;
    check(p11_uri_parse(shown, &copy, &err) == CKR_OK, err.text, shown);
    p11_uri_describe(copy, again, sizeof(again));
    check(strcmp(shown, again) == 0, "not the same again", text);
    p11_uri_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct p11_uri *uri;
    struct p11_error err = { 0 };
    CK_RV rv;

    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    rv = p11_uri_parse(text, &uri, &err);
    if (rv == CKR_OK) {
        check(p11_uri_has_scheme(text), "no scheme", text);
        check_shown(uri, text);
    } else {
        check(rv == P11_URI_INVALID || rv == P11_PIN_SOURCE, "answer", text);
        check(uri == NULL && err.rv == rv, "not clean", text);
        check(err.text[0] != '\0' && is_printable(err.text), "text", text);
    }
    p11_uri_free(uri);
    free(text);
    return 0;
}

#ifdef HSMSIGN_FUZZ_MAIN
static int try_file(const char *path)
{
    uint8_t data[2 * P11_URI_MAX];
    FILE *file = fopen(path, "rbe");
    size_t size;
    int failed;

    if (file == NULL) {
        perror(path);
        return 1;
    }
    size = fread(data, 1, sizeof(data), file);
    failed = ferror(file);
    (void)fclose(file);
    if (failed) {
        (void)fprintf(stderr, "%s: cannot be read\n", path);
        return 1;
    }
    (void)LLVMFuzzerTestOneInput(data, size);
    return 0;
}

int main(int argc, char **argv)
{
    int i, failed = 0;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s FILE...\n", argv[0]);
        return 2;
    }
    for (i = 1; i < argc; i++)
        failed |= try_file(argv[i]);
    return failed;
}
#endif
