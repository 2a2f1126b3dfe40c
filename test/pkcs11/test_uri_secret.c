/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/uri: that a PIN is neither in a text, wherever in the URI a slip of
 * the pen put it, nor in memory that was freed.
 *
 * Link with -Wl,--wrap=malloc,--wrap=calloc,--wrap=free: the tests look into
 * every block that is freed, and let each allocation fail in turn.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../pkcs11/uri.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PIN          "s3cr3t-Needle"

/* The allocator's wrappers: see the last tests. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void __wrap_free(void *block);

/* volatile, since a compiler knows that the free of ISO C changes none. */
static volatile struct {
    size_t count;   /* allocations asked for */
    size_t fail_at; /* the one that fails; 0: none */
    size_t frees;   /* blocks freed */
    size_t leaks;   /* of these, with PIN inside */
} heap;

void *__wrap_calloc(size_t n, size_t size)
{
    if (++heap.count == heap.fail_at)
        return NULL;
    return __real_calloc(n, size);
}

/* Zeroed, so that free may look at all of the block. */
void *__wrap_malloc(size_t size)
{
    return __wrap_calloc(1, size);
}

void __wrap_free(void *block)
{
    if (block != NULL) {
        heap.frees++;
        if (memmem(block, malloc_usable_size(block), PIN, strlen(PIN)) != NULL)
            heap.leaks++;
    }
    __real_free(block);
}

static void test_uri_never_shows_a_pin(void **state)
{
    static const char *const rows[] = {
        "pkcs11:token=t?pin-value=" PIN,
        "pkcs11:token=t?pin-value=" PIN "&module-name=m",
        "pkcs11:token=t?pin-value=%41" PIN "%ff",
        "pkcs11:token=t?pin-value=" PIN "%00",
        "pkcs11:token=t?pin-value=" PIN "%",
        "pkcs11:token=t?pin-value=" PIN " ",
        "pkcs11:token=t?pin-value=" PIN "#" PIN,
        "pkcs11:token=t?pin-value=" PIN "&" PIN,
        "pkcs11:token=t?pin-value=a&" PIN "=b",
        "pkcs11:token=t?pin-value=a&token=" PIN,
        "pkcs11:token=t?pin-value=a&pin-value=" PIN,
        "pkcs11:token=t?pin-value=" PIN "&pin-source=/a",
        "pkcs11:token=t?pin-source=/a&pin-value=" PIN,
        "pkcs11:token=t?pin-valu=" PIN,
        "pkcs11:token=t?pinvalue=a&" PIN "=b",
        "pkcs11:token=t?" PIN,
        "pkcs11:token=t;pin-value=" PIN,
        "pkcs11:token=t;pin=" PIN,
        "pkcs11:token=t&pin-value=" PIN,
        "pkcs11:type=private&pin-value=" PIN,
        "pkcs11:slot-id=0&pin-value=" PIN,
        "pkcs11:library-version=1&pin-value=" PIN,
        "pkcs11:token=t?module-path=/m?pin-value=" PIN,
        "pkcs11:token=t?module-name=m;pin-value=" PIN,
        "pkcs11:token=t?pin-source=" PIN,
        "pkcs11:token=t??pin-value=" PIN,
    };
    struct p11_uri *uri;
    struct p11_error err;
    char shown[sizeof(err.text)];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        memset(&err, 0, sizeof(err));
        if (p11_uri_parse(rows[i], &uri, &err) == CKR_OK)
            p11_uri_describe(uri, shown, sizeof(shown));
        else
            (void)snprintf(shown, sizeof(shown), "%s", err.text);
        p11_uri_free(uri);
        assert_true(strlen(shown) > 0);
        if (strstr(shown, "Needle") != NULL || strstr(shown, "s3cr3t") != NULL)
            fail_msg("%s: \"%s\"", rows[i], shown);
    }
}

static void test_uri_pin_never_stays_in_freed_memory(void **state)
{
    static const char *const rows[] = {
        "pkcs11:token=t?pin-value=" PIN,
        "pkcs11:token=t?pin-value=" PIN "&module-name=m",
        "pkcs11:token=t?pin-value=s3cr3t%2DNeedl%65",
        "pkcs11:token=t?pin-value=" PIN "%00",
        "pkcs11:token=t?pin-value=" PIN "%ff",
        "pkcs11:token=t?pin-value=" PIN "%zz",
        "pkcs11:token=t?pin-value=" PIN " ",
        "pkcs11:token=t?pin-value=" PIN "&" PIN,
        "pkcs11:token=t?pin-value=" PIN "&module-path=x",
        "pkcs11:token=t?pin-value=" PIN "&pin-source=/a",
    };
    static char *volatile control;
    struct p11_uri *uri;
    size_t i;

    (void)state;
    /* That a leak would be seen. */
    control = strdup("a" PIN);
    assert_non_null(control);
    heap.leaks = 0;
    free(control);
    assert_int_equal(heap.leaks, 1);

    heap.leaks = 0;
    for (i = 0; i < COUNT(rows); i++) {
        heap.frees = 0;
        (void)p11_uri_parse(rows[i], &uri, NULL);
        p11_uri_free(uri);
        assert_true(heap.frees > 0);
        if (heap.leaks != 0)
            fail_msg("%s: freed without cleansing", rows[i]);
    }
}

static void test_uri_survives_lack_of_memory(void **state)
{
    static const char text[] = "pkcs11:token=t;object=o;id=%01?module-name=m&"
                               "module-path=/m&pin-value=" PIN;
    struct p11_uri *uri;
    struct p11_error err;
    size_t n, needed;
    CK_RV rv;

    (void)state;
    heap.count = 0;
    assert_int_equal(p11_uri_parse(text, &uri, &err), CKR_OK);
    p11_uri_free(uri);
    needed = heap.count;
    assert_true(needed >= 7);
    for (n = 1; n <= needed; n++) {
        heap.count = 0;
        heap.leaks = 0;
        heap.fail_at = n;
        rv = p11_uri_parse(text, &uri, &err);
        heap.fail_at = 0;
        assert_int_equal(rv, CKR_HOST_MEMORY);
        assert_int_equal(err.rv, CKR_HOST_MEMORY);
        assert_null(uri);
        assert_int_equal(heap.leaks, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uri_never_shows_a_pin),
        cmocka_unit_test(test_uri_pin_never_stays_in_freed_memory),
        cmocka_unit_test(test_uri_survives_lack_of_memory),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
