/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/module: one module in a process, whoever opens it; who initialised
 * it finalises it; what cannot be loaded says why and leaves nothing behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../pkcs11/quirks.h"
#include "../../pkcs11/session.h"
#include "fixture.h"

static CK_RV open_module(struct fixture *f, struct p11_module **module)
{
    *module = NULL;
    return p11_module_open(&f->config, module, &f->err);
}

static void
test_module_is_initialised_once_and_finalised_by_the_last(void **state)
{
    struct fixture *f = *state;
    struct p11_module *second;

    fixture_open(f);
    assert_rv(f, open_module(f, &second), CKR_OK);
    assert_ptr_equal(second, f->module);
    assert_int_equal(fake_count(f->fake, "C_Initialize"), 1);
    p11_module_close(second);
    assert_int_equal(fake_count(f->fake, "C_Finalize"), 0);
    assert_rv(f,
              fixture_find(f, "pkcs11:token=fake", &(struct p11_slot *){ 0 }),
              CKR_OK);
    fixture_close(f);
    assert_int_equal(fake_count(f->fake, "C_Finalize"), 1);
    fixture_open(f);
    assert_int_equal(fake_count(f->fake, "C_Initialize"), 2);
}

static void test_module_by_another_path_is_the_same(void **state)
{
    struct fixture *f = *state;
    struct p11_module *second;
    char link[300];

    fixture_copy_module(f, "fake.so");
    fixture_open(f);
    (void)snprintf(link, sizeof(link), "%s/link.so", f->dir);
    assert_int_equal(symlink(f->path, link), 0);
    f->config.path = link;
    assert_rv(f, open_module(f, &second), CKR_OK);
    (void)unlink(link);
    assert_ptr_equal(second, f->module);
    assert_int_equal(fake_count(f->fake, "C_Initialize"), 1);
    p11_module_close(second);
}

static void test_two_modules_live_side_by_side(void **state)
{
    struct fixture *f = *state;
    struct p11_module_config config = f->config;
    struct p11_module *second = NULL;
    char path[sizeof(f->path)];
    struct fake *other;
    void *dl;

    memcpy(path, f->path, sizeof(path));
    config.path = path;
    other = fixture_fake(path, &dl);
    fixture_copy_module(f, "other.so");
    fixture_open(f);
    assert_rv(f, p11_module_open(&config, &second, &f->err), CKR_OK);
    assert_ptr_not_equal(second, f->module);
    assert_int_equal(fake_count(other, "C_Initialize"), 1);
    fixture_close(f);
    assert_int_equal(fake_count(f->fake, "C_Finalize"), 1);
    assert_int_equal(fake_count(other, "C_Finalize"), 0);
    p11_module_close(second);
    assert_int_equal(fake_count(other, "C_Finalize"), 1);
    fake_reset(other);
    (void)dlclose(dl);
}

static void
test_module_of_the_application_is_shared_and_left_alone(void **state)
{
    struct fixture *f = *state;
    struct fake_call call;
    CK_SESSION_HANDLE its;

    assert_int_equal(f->fake->list.C_Initialize(NULL), CKR_OK);
    assert_int_equal(f->fake->list.C_OpenSession(f->fake->slots[0].id,
                                                 CKF_SERIAL_SESSION, NULL, NULL,
                                                 &its),
                     CKR_OK);
    f->pair = fake_add_key(f->fake, 0, &fixture_rsa);
    fixture_open(f);
    assert_true(fake_call(f->fake, "C_Initialize", 1, &call));
    assert_int_equal(call.rv, CKR_CRYPTOKI_ALREADY_INITIALIZED);
    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    assert_int_equal(fake_open_sessions(f->fake), 2);
    p11_key_free(f->key);
    f->key = NULL;
    fixture_close(f);
    assert_int_equal(fake_count(f->fake, "C_Finalize"), 0);
    assert_int_equal(fake_open_sessions(f->fake), 1);
    assert_int_equal(f->fake->list.C_CloseSession(its), CKR_OK);
    assert_int_equal(f->fake->list.C_Finalize(NULL), CKR_OK);
}

/* What p11_module_open() answers, and that nothing is left of it. */
static void assert_refused(struct fixture *f, CK_RV want, const char *part)
{
    struct p11_module *module;

    f->err = (struct p11_error){ 0 };
    assert_rv(f, open_module(f, &module), want);
    assert_null(module);
    assert_int_equal(f->err.rv, want);
    assert_text(f, part);
    assert_int_equal(p11_module_open(&f->config, &module, NULL), want);
}

static void test_missing_file_is_named(void **state)
{
    struct fixture *f = *state;

    f->config.path = "/nowhere/at-all.so";
    assert_refused(f, P11_MODULE_LOAD, "/nowhere/at-all.so");
    assert_text(f, "pkcs11-module-path");
    assert_text(f, "HSM_MODULE");
}

static void test_file_that_is_no_library_is_named(void **state)
{
    struct fixture *f = *state;
    char path[300];
    FILE *file;

    fixture_copy_module(f, "fake.so");
    (void)snprintf(path, sizeof(path), "%s/text.so", f->dir);
    file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs("no library\n", file);
    assert_int_equal(fclose(file), 0);
    f->config.path = path;
    assert_refused(f, P11_MODULE_LOAD, path);
    (void)unlink(path);
}

static void test_library_without_c_getfunctionlist_is_no_module(void **state)
{
    struct fixture *f = *state;
    Dl_info info;

    /* Any library will do: the one with cmocka's code is loaded for sure. */
    assert_int_not_equal(dladdr((void *)(uintptr_t)_fail, &info), 0);
    f->config.path = info.dli_fname;
    assert_refused(f, P11_MODULE_LOAD, "C_GetFunctionList");
    assert_text(f, info.dli_fname);
}

static void test_failing_c_getfunctionlist_is_an_error(void **state)
{
    struct fixture *f = *state;

    fake_fail(f->fake, "C_GetFunctionList", CKR_GENERAL_ERROR, 1, 2);
    assert_refused(f, CKR_GENERAL_ERROR, "C_GetFunctionList");
    assert_int_equal(fake_count(f->fake, "C_Initialize"), 0);
    fixture_open(f);
}

static void test_failing_c_initialize_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;

    fake_fail(f->fake, "C_Initialize", CKR_DEVICE_ERROR, 1, 2);
    assert_refused(f, CKR_DEVICE_ERROR, "C_Initialize");
    assert_text(f, "CKR_DEVICE_ERROR");
    assert_text(f, f->path);
    assert_int_equal(fake_count(f->fake, "C_Finalize"), 0);
    fixture_open(f);
    assert_int_equal(fake_count(f->fake, "C_Initialize"), 3);
}

static void test_list_without_c_initialize_is_an_error(void **state)
{
    struct fixture *f = *state;

    f->fake->list.C_Initialize = NULL;
    assert_refused(f, CKR_FUNCTION_NOT_SUPPORTED, "C_Initialize");
}

static void test_list_without_anything_else_is_an_error_at_use(void **state)
{
    struct fixture *f = *state;
    CK_FUNCTION_LIST full = f->fake->list;
    struct p11_key *key;

    f->fake->list = (CK_FUNCTION_LIST){ .version = full.version,
                                        .C_Initialize = full.C_Initialize };
    fixture_open(f);
    assert_rv(f, fixture_load(f, URI, PIN, &key, &f->err),
              CKR_FUNCTION_NOT_SUPPORTED);
    assert_text(f, "C_GetSlotList");
    fixture_close(f); /* without C_Finalize, and without a crash */
    f->fake->list = full;
    assert_int_equal(f->fake->list.C_Finalize(NULL), CKR_OK);
}

static void test_arguments_are_passed_and_threads_announced(void **state)
{
    struct fixture *f = *state;
    struct fake_call call;

    f->config.init_args = "configdir='/etc/token' flags=readOnly";
    fixture_open(f);
    assert_string_equal(f->fake->init_args, f->config.init_args);
    assert_true(fake_call(f->fake, "C_Initialize", 0, &call));
    assert_int_equal(call.flags, CKF_OS_LOCKING_OK);
    fixture_close(f);
    f->config.init_args = NULL;
    fixture_open(f);
    assert_string_equal(f->fake->init_args, "");
}

static void
test_quirk_of_the_configuration_is_added_to_the_modules(void **state)
{
    struct fixture *f = *state;

    fixture_copy_module(f, "libcloudhsm_pkcs11.so");
    f->config.quirks = P11_QUIRK_NO_DEINIT;
    fixture_open(f);
    assert_int_equal(f->module->quirks, P11_QUIRK_NO_DEINIT |
                                            P11_QUIRK_PIN_USER |
                                            P11_QUIRK_NO_RECOVER);
}

static void test_quirk_no_deinit_never_finalises(void **state)
{
    struct fixture *f = *state;

    f->config.quirks = P11_QUIRK_NO_DEINIT;
    fixture_open(f);
    fixture_close(f);
    assert_int_equal(fake_count(f->fake, "C_Finalize"), 0);
}

/* Whether it stays loaded when nobody else has a reference to it. */
static bool stays_loaded(struct fixture *f, unsigned quirks)
{
    /* Ours, since the module's own would go away with it as a leak. */
    static struct fake_call log[64];
    void *dl;

    f->config.quirks = quirks;
    fixture_open(f);
    fake_reset(f->fake);
    f->fake->calls = log;
    f->fake->room = COUNT(log);
    (void)dlclose(f->dl);
    fixture_close(f);
    dl = dlopen(f->path, RTLD_NOW | RTLD_NOLOAD);
    f->fake = fixture_fake(f->path, &f->dl);
    assert_non_null(f->fake);
    f->fake->calls = NULL;
    f->fake->n_calls = f->fake->room = 0;
    if (dl != NULL)
        (void)dlclose(dl);
    return dl != NULL;
}

static void test_last_close_unloads_except_with_no_deinit(void **state)
{
    struct fixture *f = *state;

    fixture_copy_module(f, "fake.so");
    assert_false(stays_loaded(f, 0));
    assert_true(stays_loaded(f, P11_QUIRK_NO_DEINIT));
}

static void test_close_closes_sessions_before_it_finalises(void **state)
{
    struct fixture *f = *state;
    struct p11_slot *slot = fixture_slot(f);
    struct p11_session *sessions[2];

    for (size_t i = 0; i < 2; i++)
        assert_rv(f, p11_session_borrow(slot, &sessions[i], &f->err), CKR_OK);
    for (size_t i = 0; i < 2; i++)
        p11_session_give_back(slot, sessions[i], CKR_OK);
    fake_calls_reset(f->fake);
    fixture_close(f);
    assert_calls(f, "C_CloseSession C_CloseSession C_Finalize");
    p11_module_close(NULL);
}

static void count_initialize(struct fake *fake, const char *function, void *arg)
{
    (void)fake;
    (void)arg;
    /* Long enough for the others to come and find it begun. */
    if (strcmp(function, "C_Initialize") == 0)
        (void)usleep(20000);
}

static void open_and_close(struct fixture *f, size_t i)
{
    struct p11_module *module = NULL;
    struct p11_error err;

    (void)i;
    if (p11_module_open(&f->config, &module, &err) != CKR_OK)
        fixture_failed(f, "open", &err);
    p11_module_close(module);
}

/* As SoftHSM's libcrypto does when it is another than the program's. */
static void open_again(struct fake *fake, const char *function, void *arg)
{
    struct fixture *f = arg;
    struct p11_module_config config = f->config;
    struct p11_module *module = NULL;

    (void)fake;
    if (strcmp(function, "C_Initialize") != 0)
        return;
    assert_rv(f, p11_module_open(&config, &module, &f->err), P11_MODULE_LOAD);
    assert_null(module);
    assert_non_null(strstr(f->err.text, f->path));
}

static void test_module_that_opens_itself_is_refused_and_opens(void **state)
{
    struct fixture *f = *state;
    struct p11_module *second;

    f->fake->before = open_again;
    f->fake->before_arg = f;
    fixture_open(f);
    assert_int_equal(fake_count(f->fake, "C_Initialize"), 1);
    assert_rv(f, open_module(f, &second), CKR_OK);
    assert_ptr_equal(second, f->module);
    p11_module_close(second);
}

static void test_threads_that_open_together_initialise_once(void **state)
{
    struct fixture *f = *state;

    f->fake->before = count_initialize;
    fixture_open(f);
    fixture_threads(f, 8, open_and_close);
    assert_int_equal(fake_count(f->fake, "C_Initialize"), 1);
    fixture_close(f);
    fixture_threads(f, 8, open_and_close);
    assert_int_equal(fake_count(f->fake, "C_Initialize"),
                     fake_count(f->fake, "C_Finalize"));
    fixture_assert_no_failure(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_module_is_initialised_once_and_finalised_by_the_last),
        TEST(test_module_by_another_path_is_the_same),
        TEST(test_two_modules_live_side_by_side),
        TEST(test_module_of_the_application_is_shared_and_left_alone),
        TEST(test_missing_file_is_named),
        TEST(test_file_that_is_no_library_is_named),
        TEST(test_library_without_c_getfunctionlist_is_no_module),
        TEST(test_failing_c_getfunctionlist_is_an_error),
        TEST(test_failing_c_initialize_leaves_nothing_behind),
        TEST(test_list_without_c_initialize_is_an_error),
        TEST(test_list_without_anything_else_is_an_error_at_use),
        TEST(test_arguments_are_passed_and_threads_announced),
        TEST(test_quirk_of_the_configuration_is_added_to_the_modules),
        TEST(test_quirk_no_deinit_never_finalises),
        TEST(test_last_close_unloads_except_with_no_deinit),
        TEST_OPEN(test_close_closes_sessions_before_it_finalises),
        TEST(test_module_that_opens_itself_is_refused_and_opens),
        TEST(test_threads_that_open_together_initialise_once),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
