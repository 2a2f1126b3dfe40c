/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the fake token: signatures, and what a test may do to it while the
 * code under test signs: fail, lose, fork, run many threads.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "fake_test.h"

enum { THREADS = 32, ROUNDS = 20 };

static void test_fake_signature_is_an_operation(void **state)
{
    size_t key = fake_add_key(fake, 0, &ec_key).private_key;
    CK_SESSION_HANDLE session = fake_test_start();
    unsigned char data[] = "data";
    unsigned char sig[16];
    CK_ULONG siglen = 0;
    char calls[256];

    (void)state;
    fake_calls_reset(fake);
    assert_int_equal(fake_test_sign(session), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(fake_test_sign_init(session, fake_handle(fake, key)),
                     CKR_OK);
    assert_int_equal(fake_test_sign_init(session, fake_handle(fake, key)),
                     CKR_OPERATION_ACTIVE);
    assert_int_equal(p11->C_Sign(session, data, 4, NULL, &siglen), CKR_OK);
    assert_int_equal(siglen, 6);
    siglen = 5;
    assert_int_equal(p11->C_Sign(session, data, 4, sig, &siglen),
                     CKR_BUFFER_TOO_SMALL);
    siglen = sizeof(sig);
    assert_int_equal(p11->C_Sign(session, data, 4, sig, &siglen), CKR_OK);
    assert_int_equal(siglen, 6);
    assert_memory_equal(sig,
                        "\x10\x41"
                        "data",
                        6); /* CKM_ECDSA */
    assert_int_equal(fake_test_sign(session), CKR_OPERATION_NOT_INITIALIZED);
    assert_string_equal(fake_calls(fake, calls, sizeof(calls)),
                        "C_Sign C_SignInit C_SignInit C_Sign C_Sign C_Sign "
                        "C_Sign");
}

/* Which mechanism goes with which key, and which key signs at all. */
static void test_fake_signs_only_with_what_fits(void **state)
{
    static const struct fake_key no_sign = { .type = CKK_EC,
                                             .label = "no sign",
                                             .no_sign = true };
    struct fake_pair pair = fake_add_key(fake, 0, &ec_key);
    size_t verifier = fake_add_key(fake, 0, &no_sign).private_key;
    const struct {
        CK_MECHANISM_TYPE mechanism;
        CK_ULONG parameter;
        size_t object;
        CK_RV rv;
    } rows[] = {
        { CKM_RSA_PKCS, 0, pair.private_key, CKR_KEY_TYPE_INCONSISTENT },
        { CKM_EDDSA, 0, pair.private_key, CKR_KEY_TYPE_INCONSISTENT },
        { CKM_ECDSA_SHA1, 0, pair.private_key, CKR_MECHANISM_INVALID },
        { CKM_ECDSA, 65, pair.private_key, CKR_MECHANISM_PARAM_INVALID },
        { CKM_ECDSA, 0, pair.public_key, CKR_KEY_TYPE_INCONSISTENT },
        { CKM_ECDSA, 0, verifier, CKR_KEY_FUNCTION_NOT_PERMITTED },
        { CKM_ECDSA, 64, pair.private_key, CKR_OK },
    };
    CK_SESSION_HANDLE session = fake_test_start();
    unsigned char parameter[65] = { 0 };
    size_t i = 0;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CK_MECHANISM mechanism = { rows[i].mechanism, parameter,
                                   rows[i].parameter };

        assert_int_equal(p11->C_SignInit(session, &mechanism,
                                         fake_handle(fake, rows[i].object)),
                         rows[i].rv);
    }
    assert_int_equal(
        p11->C_SignInit(session, NULL, fake_handle(fake, pair.private_key)),
        CKR_ARGUMENTS_BAD);
}

static void test_fake_wants_a_pin_for_each_signature(void **state)
{
    static const struct fake_key careful = { .type = CKK_EC,
                                             .label = "careful",
                                             .always_authenticate = true };
    size_t key = fake_add_key(fake, 0, &careful).private_key;
    size_t plain = fake_add_key(fake, 0, &ec_key).private_key;
    CK_SESSION_HANDLE session = fake_test_start();

    (void)state;
    assert_int_equal(p11->C_Login(session, CKU_CONTEXT_SPECIFIC, pin, 4),
                     CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(fake_test_sign_init(session, fake_handle(fake, key)),
                     CKR_OK);
    assert_int_equal(fake_test_sign(session), CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(fake_test_sign(session), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(fake_test_sign_init(session, fake_handle(fake, key)),
                     CKR_OK);
    assert_int_equal(p11->C_Login(session, CKU_CONTEXT_SPECIFIC, wrong_pin, 4),
                     CKR_PIN_INCORRECT);
    assert_int_equal(p11->C_Login(session, CKU_CONTEXT_SPECIFIC, pin, 4),
                     CKR_OK);
    assert_int_equal(fake_test_sign(session), CKR_OK);
    assert_int_equal(fake_test_sign_init(session, fake_handle(fake, plain)),
                     CKR_OK);
    assert_int_equal(p11->C_Login(session, CKU_CONTEXT_SPECIFIC, pin, 4),
                     CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(fake_test_sign(session), CKR_OK);
}

static void test_fake_fails_the_calls_that_the_test_says(void **state)
{
    size_t key = fake_add_key(fake, 0, &ec_key).private_key;
    CK_SESSION_HANDLE session = fake_test_start();
    CK_OBJECT_HANDLE handle = fake_handle(fake, key);

    (void)state;
    fake_fail(fake, "C_SignInit", CKR_DEVICE_ERROR, 2, 2);
    fake_fail(fake, "C_SignInit", CKR_GENERAL_ERROR, 3, 2);
    assert_int_equal(fake_test_sign_init(session, handle), CKR_OK);
    assert_int_equal(fake_test_sign_init(session, handle), CKR_DEVICE_ERROR);
    assert_int_equal(fake_test_sign_init(session, handle), CKR_DEVICE_ERROR);
    assert_int_equal(fake_test_sign_init(session, handle), CKR_GENERAL_ERROR);
    assert_int_equal(fake_test_sign_init(session, handle),
                     CKR_OPERATION_ACTIVE);
    fake_fail(fake, "C_Sign", CKR_FUNCTION_FAILED, 1, 0);
    assert_int_equal(fake_test_sign(session), CKR_FUNCTION_FAILED);
    assert_int_equal(fake_test_sign(session), CKR_FUNCTION_FAILED);
    fake_fail_none(fake);
    assert_int_equal(fake_test_sign(session), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(fake_test_sign_init(session, handle), CKR_OK);
    fake->failed_sign_keeps_operation = true;
    fake_fail(fake, "C_Sign", CKR_DEVICE_ERROR, 1, 1);
    assert_int_equal(fake_test_sign(session), CKR_DEVICE_ERROR);
    assert_int_equal(fake_test_sign_init(session, handle),
                     CKR_OPERATION_ACTIVE);
    assert_int_equal(fake_test_sign(session), CKR_OK);
}

static void test_fake_loses_what_the_test_says_and_nothing_else(void **state)
{
    size_t key = fake_add_key(fake, 0, &ec_key).private_key;
    CK_SESSION_HANDLE session = fake_test_start();
    CK_OBJECT_HANDLE handle = fake_handle(fake, key);

    (void)state;
    fake_lose(fake, FAKE_LOGIN);
    assert_int_equal(fake_test_sign_init(session, handle),
                     CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(p11->C_Login(session, CKU_USER, pin, 4), CKR_OK);
    assert_int_equal(fake_test_sign_init(session, handle), CKR_OK);
    fake_lose(fake, FAKE_HANDLES);
    assert_int_equal(fake_test_sign(session), CKR_KEY_HANDLE_INVALID);
    assert_int_equal(fake_test_sign_init(session, handle),
                     CKR_KEY_HANDLE_INVALID);
    handle = fake_handle(fake, key);
    assert_int_equal(fake_test_sign_init(session, handle), CKR_OK);
    fake_lose(fake, FAKE_SESSIONS);
    assert_int_equal(fake_test_sign(session), CKR_SESSION_HANDLE_INVALID);
    fake->lost_session = CKR_SESSION_CLOSED;
    assert_int_equal(fake_test_sign(session), CKR_SESSION_CLOSED);
    session = fake_test_open_session();
    assert_int_equal(fake_test_sign_init(session, handle), CKR_OK);
    fake_lose(fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    assert_int_equal(fake_test_sign_init(fake_test_open_session(), handle),
                     CKR_KEY_HANDLE_INVALID);
    assert_false(fake_logged_in(fake, 0));
}

static pthread_barrier_t barrier;
static atomic_int failures; /* assertions are for the main thread alone */

static CK_RV sign_together(struct fake *ours, const struct fake_object *key,
                           const CK_MECHANISM *mechanism,
                           const unsigned char *data, size_t len,
                           unsigned char *sig, size_t *siglen)
{
    pthread_barrier_wait(&barrier);
    return fake_sign_echo(ours, key, mechanism, data, len, sig, siglen);
}

static void *sign_in_thread(void *arg)
{
    const CK_OBJECT_HANDLE *key = arg;
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    int i = 0;

    if (p11->C_OpenSession(1, RW, NULL, NULL, &session) != CKR_OK)
        failures++;
    for (i = 0; i < ROUNDS; i++) {
        if (fake_test_sign_init(session, *key) != CKR_OK ||
            fake_test_sign(session) != CKR_OK)
            failures++;
    }
    return NULL;
}

/* The barrier lets nobody through before all are in the callback at once. */
static void test_fake_signs_in_many_threads_at_once(void **state)
{
    size_t key = fake_add_key(fake, 0, &ec_key).private_key;
    CK_OBJECT_HANDLE handle = fake_handle(fake, key);
    pthread_t threads[THREADS];
    size_t i = 0;

    (void)state;
    fake_test_start();
    fake->sign = sign_together;
    failures = 0;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, sign_in_thread, &handle), 0);
    for (i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&barrier);
    assert_int_equal(failures, 0);
    assert_int_equal(fake_count(fake, "C_Sign"), THREADS * ROUNDS);
    assert_int_equal(fake_open_sessions(fake), THREADS + 1);
    assert_int_equal(fake_violations(fake), 0);
}

static CK_SESSION_HANDLE session_in_use;

static CK_RV sign_and_misbehave(struct fake *ours,
                                const struct fake_object *key,
                                const CK_MECHANISM *mechanism,
                                const unsigned char *data, size_t len,
                                unsigned char *sig, size_t *siglen)
{
    if (fake_test_sign(session_in_use) != CKR_OPERATION_ACTIVE)
        failures++;
    if (p11->C_CloseSession(session_in_use) != CKR_OPERATION_ACTIVE)
        failures++;
    return fake_sign_echo(ours, key, mechanism, data, len, sig, siglen);
}

static CK_RV sign_and_lose(struct fake *ours, const struct fake_object *key,
                           const CK_MECHANISM *mechanism,
                           const unsigned char *data, size_t len,
                           unsigned char *sig, size_t *siglen)
{
    fake_lose(ours, FAKE_SESSIONS);
    return fake_sign_echo(ours, key, mechanism, data, len, sig, siglen);
}

static CK_RV sign_and_finalize(struct fake *ours, const struct fake_object *key,
                               const CK_MECHANISM *mechanism,
                               const unsigned char *data, size_t len,
                               unsigned char *sig, size_t *siglen)
{
    if (p11->C_Finalize(NULL) != CKR_OK)
        failures++;
    return fake_sign_echo(ours, key, mechanism, data, len, sig, siglen);
}

static void test_fake_sees_what_an_application_must_not_do(void **state)
{
    const struct {
        fake_sign_fn *sign;
        CK_RV rv;
        unsigned long violations;
    } rows[] = {
        { sign_and_misbehave, CKR_OK, 2 },
        { sign_and_lose, CKR_SESSION_HANDLE_INVALID, 0 },
        { sign_and_finalize, CKR_SESSION_HANDLE_INVALID, 1 },
    };
    size_t i = 0;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t key = 0;

        fake_reset(fake);
        failures = 0;
        key = fake_add_key(fake, 0, &ec_key).private_key;
        session_in_use = fake_test_start();
        assert_int_equal(
            fake_test_sign_init(session_in_use, fake_handle(fake, key)),
            CKR_OK);
        fake->sign = rows[i].sign;
        assert_int_equal(fake_test_sign(session_in_use), rows[i].rv);
        assert_int_equal(failures, 0);
        assert_int_equal(fake_violations(fake), rows[i].violations);
    }
}

static CK_RV sign_by_arg(struct fake *ours, const struct fake_object *key,
                         const CK_MECHANISM *mechanism,
                         const unsigned char *data, size_t len,
                         unsigned char *sig, size_t *siglen)
{
    const CK_ATTRIBUTE *label = fake_attribute(key, CKA_LABEL);

    (void)data;
    if (key->number != *(const size_t *)ours->sign_arg || label == NULL ||
        label->ulValueLen != strlen("signer") || len != 4 ||
        mechanism->ulParameterLen != 3 ||
        memcmp(mechanism->pParameter, "abc", 3) != 0)
        return CKR_GENERAL_ERROR;
    *sig = 's';
    *siglen = 1;
    return CKR_OK;
}

static void test_fake_callback_sees_key_mechanism_and_data(void **state)
{
    size_t key = fake_add_key(fake, 0, &ec_key).private_key;
    CK_SESSION_HANDLE session = fake_test_start();
    unsigned char parameter[] = "abc";
    CK_MECHANISM mechanism = { CKM_ECDSA, parameter, 3 };
    struct fake_call call;

    (void)state;
    fake->sign = sign_by_arg;
    fake->sign_arg = &key;
    assert_int_equal(
        p11->C_SignInit(session, &mechanism, fake_handle(fake, key)), CKR_OK);
    memset(parameter, 0, sizeof(parameter)); /* the fake has its own copy */
    assert_int_equal(fake_test_sign(session), CKR_OK);
    assert_true(fake_call(fake, "C_SignInit", 0, &call));
    assert_int_equal(call.mechanism, CKM_ECDSA);
    assert_int_equal(call.object, fake_handle(fake, key));
    assert_int_equal(call.session, session);
}

static void lose_at_sign(struct fake *ours, const char *function, void *arg)
{
    if (strcmp(function, arg) == 0)
        fake_lose(ours, FAKE_LOGIN);
}

static void test_fake_hook_runs_before_each_call(void **state)
{
    char function[] = "C_SignInit";
    size_t key = fake_add_key(fake, 0, &ec_key).private_key;
    CK_SESSION_HANDLE session = fake_test_start();

    (void)state;
    fake->before = lose_at_sign;
    fake->before_arg = function;
    assert_int_equal(fake_test_sign(session), CKR_OPERATION_NOT_INITIALIZED);
    assert_true(fake_logged_in(fake, 0));
    assert_int_equal(fake_test_sign_init(session, fake_handle(fake, key)),
                     CKR_USER_NOT_LOGGED_IN);
}

/* A child's exit status: 0 if it is as a fork's child should find it. */
static int child_of_fork(CK_SESSION_HANDLE session, bool inherits)
{
    CK_RV expected[3] = { CKR_CRYPTOKI_NOT_INITIALIZED, CKR_OK,
                          CKR_SESSION_HANDLE_INVALID };
    CK_SESSION_INFO info;

    if (inherits) {
        expected[0] = CKR_OK;
        expected[1] = CKR_CRYPTOKI_ALREADY_INITIALIZED;
        expected[2] = CKR_USER_ALREADY_LOGGED_IN;
    }
    if (p11->C_GetSessionInfo(session, &info) != expected[0])
        return 1;
    if (p11->C_Initialize(NULL) != expected[1])
        return 2;
    return p11->C_Login(session, CKU_USER, pin, 4) == expected[2] ? 0 : 3;
}

static int status_of(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_fake_forked_child_begins_anew_or_goes_on(void **state)
{
    int inherits = 0;

    (void)state;
    for (inherits = 0; inherits < 2; inherits++) {
        CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
        CK_SESSION_INFO info;
        pid_t pid = 0;

        fake_reset(fake);
        fake->child_inherits = inherits != 0;
        session = fake_test_start();
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(child_of_fork(session, inherits != 0));
        assert_int_equal(status_of(pid), 0);
        assert_int_equal(p11->C_GetSessionInfo(session, &info), CKR_OK);
        assert_int_equal(info.state, CKS_RW_USER_FUNCTIONS);
    }
}

/* A typo in a test ends it; run in a child, without a core and in silence. */
static void test_fake_aborts_on_an_unknown_function(void **state)
{
    pid_t pid = fork();
    int status = 0;

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit no_core = { 0, 0 };

        setrlimit(RLIMIT_CORE, &no_core);
        close(STDERR_FILENO);
        fake_fail(fake, "C_Sing", CKR_DEVICE_ERROR, 1, 1);
        _exit(0);
    }
    status = status_of(pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(test_fake_signature_is_an_operation),
        FAKE_TEST(test_fake_signs_only_with_what_fits),
        FAKE_TEST(test_fake_wants_a_pin_for_each_signature),
        FAKE_TEST(test_fake_fails_the_calls_that_the_test_says),
        FAKE_TEST(test_fake_loses_what_the_test_says_and_nothing_else),
        FAKE_TEST(test_fake_signs_in_many_threads_at_once),
        FAKE_TEST(test_fake_sees_what_an_application_must_not_do),
        FAKE_TEST(test_fake_callback_sees_key_mechanism_and_data),
        FAKE_TEST(test_fake_hook_runs_before_each_call),
        FAKE_TEST(test_fake_forked_child_begins_anew_or_goes_on),
        FAKE_TEST(test_fake_aborts_on_an_unknown_function),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fake_script", tests, NULL, NULL);
}
