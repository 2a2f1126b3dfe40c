/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes pkcs11/uri: what is accepted is shown, and what is shown is accepted
 * and means the same; what is refused has a reason that can be printed.
 */
#include <string.h>
#include "fuzz.h"
#include "pkcs11/uri.h"

bool fuzz_accepted;

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

static void check_shown(const struct p11_uri *uri)
{
    char shown[SHOWN_SIZE], again[SHOWN_SIZE], cut[64];
    struct p11_uri *copy;
    struct p11_error err;

    p11_uri_describe(uri, shown, sizeof(shown));
    fuzz_check(strlen(shown) + 1 < sizeof(shown), "too long");
    fuzz_check(is_printable(shown), "not printable");
    fuzz_check(strpbrk(shown, "?!$'\"`\\ ") == NULL, "cannot be quoted");
    p11_uri_describe(uri, cut, sizeof(cut));
    fuzz_check(strlen(cut) < sizeof(cut), "cut wrongly");
    if (strlen(shown) > P11_URI_MAX)
        return;
    fuzz_check(p11_uri_parse(shown, &copy, &err) == CKR_OK, err.text);
    p11_uri_describe(copy, again, sizeof(again));
    fuzz_check(strcmp(shown, again) == 0, "not the same again");
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
    fuzz_accepted = rv == CKR_OK;
    if (rv == CKR_OK) {
        fuzz_check(p11_uri_has_scheme(text), "no scheme");
        check_shown(uri);
    } else {
        fuzz_check(rv == P11_URI_INVALID || rv == P11_PIN_SOURCE, "answer");
        fuzz_check(uri == NULL && err.rv == rv, "not clean");
        fuzz_check(err.text[0] != '\0' && is_printable(err.text), "text");
    }
    p11_uri_free(uri);
    free(text);
    return 0;
}
