/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11/quirks: which module, and which word, has which quirk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../../pkcs11/quirks.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_quirks_go_by_the_file_name(void **state)
{
    static const struct {
        const char *path;
        unsigned quirks;
    } rows[] = {
        { "/opt/cloudhsm/lib/libcloudhsm_pkcs11.so",
          P11_QUIRK_PIN_USER | P11_QUIRK_NO_RECOVER },
        { "libcloudhsm_pkcs11.so", P11_QUIRK_PIN_USER | P11_QUIRK_NO_RECOVER },
        { "./libcloudhsm_pkcs11.so.5.16",
          P11_QUIRK_PIN_USER | P11_QUIRK_NO_RECOVER },
        { "/libcloudhsm_pkcs11/libsofthsm2.so", 0 },
        { "/usr/lib/libtpm2_pkcs11.so.0", P11_QUIRK_REFUSES_GENERALLY },
        { "/usr/lib/my-libcloudhsm_pkcs11.so", 0 },
        { "/usr/lib/softhsm/libsofthsm2.so", 0 },
        { "/", 0 },
        { "", 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(p11_quirks(rows[i].path), rows[i].quirks);
}

static void test_quirk_names_are_those_of_pkcs11_provider(void **state)
{
    static const struct {
        const char *name;
        unsigned bit;
    } rows[] = {
        { "no-deinit", P11_QUIRK_NO_DEINIT },
        { "no-operation-state", 0 },
        { "no-session-callbacks", 0 },
        { "no-allowed-mechanisms", P11_QUIRK_NO_ALLOWED_MECHANISMS },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        unsigned bit = 99;

        assert_true(
            p11_quirk_by_name(rows[i].name, strlen(rows[i].name), &bit));
        assert_int_equal(bit, rows[i].bit);
    }
}

static void test_other_quirk_names_are_unknown(void **state)
{
    static const char *const names[] = { "no-deini", "no-deinit ", "NO-DEINIT",
                                         "deinit", "" };
    unsigned bit = 99;

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        assert_false(p11_quirk_by_name(names[i], strlen(names[i]), &bit));
    /* The length counts, not a NUL. */
    assert_false(p11_quirk_by_name("no-deinit", 5, &bit));
    assert_int_equal(bit, 99);
    assert_true(p11_quirk_by_name("no-deinit,other", 9, &bit));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quirks_go_by_the_file_name),
        cmocka_unit_test(test_quirk_names_are_those_of_pkcs11_provider),
        cmocka_unit_test(test_other_quirk_names_are_unknown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
