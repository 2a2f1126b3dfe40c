/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module that lacks what a PKCS #11 module has: a function, or the list of
 * them.  The error says which.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../../pkcs11/generate.h"
#include "fixture.h"

static CK_RV use_load(struct fixture *f)
{
    struct p11_key *key;

    return fixture_load(f,
                        URI ";library-version=1.2"
                            ";slot-description=fake%20slot",
                        PIN, &key, &f->err);
}

static CK_RV use_open(struct fixture *f)
{
    fixture_close(f);
    return p11_module_open(&f->config, &f->module, &f->err);
}

static CK_RV use_sign(struct fixture *f)
{
    return fixture_sign(f->key, LABEL, &f->err);
}

static CK_RV use_generate(struct fixture *f)
{
    char label[] = "new";
    const struct p11_uri uri = { .object = { true, 3, label } };
    const struct p11_new_key new = {
        .name = "rsa:3072", .type = CKK_RSA, .bits = 3072, .label = uri.object
    };

    return p11_generate(f->module, &uri, &(struct p11_pin_request){ 0 }, &new,
                        &f->err);
}

#define ENTRY(function) #function, offsetof(CK_FUNCTION_LIST, function)

/* As of a module for a version of PKCS #11 that had less. */
static const struct {
    const char *name;
    size_t offset; /* in the list */
    CK_RV (*use)(struct fixture *f);
    bool anew; /* by a module that is opened again */
} functions[] = {
    { ENTRY(C_Initialize), use_open, true },
    { ENTRY(C_GetSlotList), use_load, true },
    { ENTRY(C_GetTokenInfo), use_load, true },
    { ENTRY(C_GetInfo), use_load, true },
    { ENTRY(C_GetSlotInfo), use_load, true },
    { ENTRY(C_OpenSession), use_load, true },
    { ENTRY(C_Login), use_load, true },
    { ENTRY(C_FindObjectsInit), use_load, false },
    { ENTRY(C_FindObjects), use_load, false },
    { ENTRY(C_FindObjectsFinal), use_load, false },
    { ENTRY(C_GetAttributeValue), use_load, false },
    { ENTRY(C_SignInit), use_sign, false },
    { ENTRY(C_Sign), use_sign, false },
    { ENTRY(C_GenerateKeyPair), use_generate, false },
};

static void test_function_that_is_missing_is_named(void **state)
{
    struct fixture *f = *state;
    CK_FUNCTION_LIST all = f->fake->list;

    for (size_t i = 0; i < COUNT(functions); i++) {
        if (functions[i].anew) {
            p11_key_free(f->key);
            f->key = NULL;
            fixture_close(f);
            fixture_open(f);
        }
        memset((char *)&f->fake->list + functions[i].offset, 0,
               sizeof(all.C_Sign));
        assert_rv(f, functions[i].use(f), CKR_FUNCTION_NOT_SUPPORTED);
        assert_text(f, functions[i].name);
        all.version = (CK_VERSION){ 2, i % 2 == 0 ? 1 : 20 };
        f->fake->list = all;
        if (f->module == NULL)
            fixture_open(f);
        if (f->key == NULL)
            assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
        assert_signs(f);
    }
}

/* dlsym() for module.c: what a module that has it not to give answers. */
void *__real_dlsym(void *handle, const char *name);
void *__wrap_dlsym(void *handle, const char *name);

static CK_RV no_list_rv = ~0UL; /* dlsym() is as it is */

static CK_RV get_no_list(CK_FUNCTION_LIST **list)
{
    *list = NULL;
    return no_list_rv;
}

void *__wrap_dlsym(void *handle, const char *name)
{
    CK_C_GetFunctionList function = get_no_list;
    void *symbol = NULL;

    if (no_list_rv == ~0UL || strcmp(name, "C_GetFunctionList") != 0)
        return __real_dlsym(handle, name);
    memcpy(&symbol, &function, sizeof(symbol));
    return symbol;
}

static void test_module_without_a_list_is_not_loaded(void **state)
{
    static const CK_RV answers[] = { CKR_OK, CKR_GENERAL_ERROR,
                                     CKR_ARGUMENTS_BAD };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(answers); i++) {
        no_list_rv = answers[i];
        assert_int_not_equal(p11_module_open(&f->config, &f->module, &f->err),
                             CKR_OK);
        assert_text(f, "C_GetFunctionList");
        assert_null(f->module);
    }
    no_list_rv = ~0UL;
    fixture_open(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_KEY(test_function_that_is_missing_is_named),
        TEST(test_module_without_a_list_is_not_loaded),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
