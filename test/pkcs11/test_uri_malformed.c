/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Malformed URIs: each refused by the parser with its reason, and through
 * libcrypto's store with one error, before the module is loaded: what is not
 * understood must not reach a token.
 */
#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/store.h>
#include <string.h>
#include "../provider/fixture.h"
#include "pkcs11/uri.h"
#include "test_uri_malformed_table.h"

static const struct {
    const struct uri_malformed *rows;
    CK_RV rv;
    const char *reason; /* in OpenSSL's queue */
} tables[] = {
    { uri_malformed, P11_URI_INVALID, "the pkcs11: URI is not valid" },
    { uri_no_pin_file, P11_PIN_SOURCE, "the PIN cannot be read" },
};

static void assert_refused(const struct uri_malformed *row, CK_RV want)
{
    struct p11_uri stale, *uri = &stale;
    struct p11_error err = { 0 };
    CK_RV rv = p11_uri_parse(row->uri, &uri, &err);

    if (rv != want || err.rv != want || uri != NULL)
        fail_msg("%s: not refused, or not cleanly: %#lx", row->uri, rv);
    if (strstr(err.text, row->fragment) == NULL)
        fail_msg("%s: \"%s\" lacks \"%s\"", row->uri, err.text, row->fragment);
    if (strstr(err.text, SECRET) != NULL)
        fail_msg("%s: the PIN is shown: \"%s\"", row->uri, err.text);
}

static void test_malformed_uri_is_refused_with_its_reason(void **state)
{
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(tables); i++) {
        for (const struct uri_malformed *row = tables[i].rows; row->uri != NULL;
             row++, n++)
            assert_refused(row, tables[i].rv);
    }
    assert_in_range(n, 200, 1000);
}

/* Opening parses and says nothing; the one error is the load's. */
static void assert_one_error(OSSL_LIB_CTX *ctx, const struct uri_malformed *row,
                             const char *reason)
{
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(row->uri, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
    struct fixture_errors errors;

    if (store == NULL || ERR_peek_error() != 0)
        fail_msg("%s: the store is not opened, or not quietly", row->uri);
    if (OSSL_STORE_load(store) != NULL || !OSSL_STORE_error(store) ||
        OSSL_STORE_eof(store))
        fail_msg("%s: loaded, or no error", row->uri);
    if (OSSL_STORE_load(store) != NULL || !OSSL_STORE_eof(store))
        fail_msg("%s: not at its end", row->uri);
    fixture_take_errors("hsmsign", &errors);
    if (errors.count != 1 || errors.ours != 1 ||
        strcmp(errors.reason, reason) != 0 ||
        strstr(errors.text, row->fragment) == NULL)
        fail_msg("%s: expected \"%s\", \"%s\" alone: %s", row->uri, reason,
                 row->fragment, errors.all);
    OSSL_STORE_close(store);
}

static void test_malformed_uri_is_one_error_of_the_store(void **state)
{
    const char *module = fixture_required("HSMSIGN_FAKE");
    OSSL_LIB_CTX *ctx = fixture_module(module, "");
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(tables); i++) {
        for (const struct uri_malformed *row = tables[i].rows; row->uri != NULL;
             row++) {
            /* What has another scheme is for other loaders. */
            if (!p11_uri_has_scheme(row->uri))
                continue;
            assert_one_error(ctx, row, tables[i].reason);
            n++;
        }
    }
    assert_in_range(n, 200, 1000);
    assert_null(dlopen(module, RTLD_NOW | RTLD_NOLOAD));
    OSSL_LIB_CTX_free(ctx);
}

/* The table is worth its length: no URI stands in it twice. */
static void test_malformed_uris_differ(void **state)
{
    (void)state;
    for (const struct uri_malformed *a = uri_malformed; a->uri != NULL; a++) {
        for (const struct uri_malformed *b = a + 1; b->uri != NULL; b++)
            assert_string_not_equal(a->uri, b->uri);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_uri_is_refused_with_its_reason),
        cmocka_unit_test(test_malformed_uri_is_one_error_of_the_store),
        cmocka_unit_test(test_malformed_uris_differ),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("pkcs11/uri, malformed", tests, NULL,
                                       NULL);
}
