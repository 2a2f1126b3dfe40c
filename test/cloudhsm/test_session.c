/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's slots, sessions, login and processes, rule by rule. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sim_test.h"

enum { HANGS = 42, FAILED = 43 };

int __wrap_pause(void);

/* Where a real pause() would hang. */
int __wrap_pause(void)
{
    _exit(HANGS);
}

static CK_RV login_with(CK_SESSION_HANDLE session, const char *pin)
{
    CK_BYTE bytes[64];
    size_t len = strlen(pin);

    assert_true(len < sizeof(bytes));
    memcpy(bytes, pin, len);
    return p11->C_Login(session, CKU_USER, bytes, len);
}

static void test_each_cluster_is_a_slot(void **state)
{
    static const char *const labels[] = { "alpha ", "beta " };
    CK_SLOT_ID slots[4];
    CK_ULONG n = 0;
    CK_TOKEN_INFO info;

    (void)state;
    sim_test_start("");
    assert_int_equal(p11->C_GetSlotList(CK_TRUE, NULL, &n), CKR_OK);
    assert_int_equal(n, 2);
    assert_int_equal(p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    for (CK_ULONG i = 0; i < n; i++) {
        assert_true(slots[i] == ALPHA + i);
        assert_int_equal(p11->C_GetTokenInfo(slots[i], &info), CKR_OK);
        assert_memory_equal(info.label, labels[i], strlen(labels[i]));
    }
    assert_int_equal(p11->C_GetTokenInfo(1, &info), CKR_SLOT_ID_INVALID);
    sim_test_stop(state);
    sim_test_start("first-slot=7");
    n = COUNT(slots);
    assert_int_equal(p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    assert_int_equal(slots[1], 8);
}

static void test_token_flags_lack_user_pin_initialized(void **state)
{
    CK_TOKEN_INFO info;

    (void)state;
    sim_test_start("");
    assert_int_equal(p11->C_GetTokenInfo(ALPHA, &info), CKR_OK);
    assert_int_equal(info.flags, 0x404);
    sim_test_stop(state);
    sim_test_start("token-flags=0x40c");
    assert_int_equal(p11->C_GetTokenInfo(ALPHA, &info), CKR_OK);
    assert_int_equal(info.flags, 0x40c);
}

static void test_read_only_session_is_refused(void **state)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    (void)state;
    sim_test_start("");
    assert_int_equal(
        p11->C_OpenSession(ALPHA, CKF_SERIAL_SESSION, NULL, NULL, &session),
        CKR_FUNCTION_FAILED);
    sim_test_open(ALPHA);
    sim_test_stop(state);
    sim_test_start("read-only=CKR_OK");
    assert_int_equal(
        p11->C_OpenSession(ALPHA, CKF_SERIAL_SESSION, NULL, NULL, &session),
        CKR_OK);
}

static CK_RV notify(CK_SESSION_HANDLE session, CK_NOTIFICATION event, void *arg)
{
    (void)session;
    (void)event;
    (void)arg;
    return CKR_OK;
}

static void test_callback_is_refused(void **state)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    (void)state;
    sim_test_start("");
    assert_int_equal(p11->C_OpenSession(ALPHA, RW, &session, NULL, &session),
                     CKR_ARGUMENTS_BAD);
    assert_int_equal(p11->C_OpenSession(ALPHA, RW, NULL, notify, &session),
                     CKR_ARGUMENTS_BAD);
    sim_test_stop(state);
    sim_test_start("notify=CKR_OK");
    assert_int_equal(p11->C_OpenSession(ALPHA, RW, NULL, notify, &session),
                     CKR_OK);
}

static void test_session_1025_is_refused(void **state)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_SESSION_HANDLE last = CK_INVALID_HANDLE;

    (void)state;
    sim_test_start("");
    for (int i = 0; i < 1024; i++) /* of all clusters together */
        last = sim_test_open(i % 2 == 0 ? ALPHA : BETA);
    assert_int_equal(p11->C_OpenSession(BETA, RW, NULL, NULL, &session),
                     CKR_SESSION_COUNT);
    assert_int_equal(p11->C_CloseSession(last), CKR_OK);
    sim_test_open(ALPHA);
    assert_int_equal(p11->C_CloseAllSessions(BETA), CKR_OK);
    for (int i = 0; i < 511; i++)
        sim_test_open(BETA);
    sim_test_stop(state);
    sim_test_start("max-sessions=1,session-count=CKR_FUNCTION_FAILED");
    sim_test_open(ALPHA);
    assert_int_equal(p11->C_OpenSession(ALPHA, RW, NULL, NULL, &session),
                     CKR_FUNCTION_FAILED);
}

static void test_pin_without_colon_is_refused(void **state)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    (void)state;
    sim_test_start("");
    session = sim_test_open(ALPHA);
    assert_int_equal(p11->C_Login(session, CKU_USER, NULL, 0),
                     CKR_ARGUMENTS_BAD);
    for (int i = 0; i < 6; i++) /* not counted */
        assert_int_equal(login_with(session, "password"), CKR_ARGUMENTS_BAD);
    assert_int_equal(sim_test_login(session), CKR_OK);
    sim_test_stop(state);
    sim_test_start("strict");
    session = sim_test_open(ALPHA);
    assert_int_equal(p11->C_Login(session, CKU_USER, NULL, 8),
                     CKR_ARGUMENTS_BAD);
    for (int i = 0; i < 5; i++) /* counted */
        assert_int_equal(login_with(session, "password"), CKR_PIN_INCORRECT);
    assert_int_equal(sim_test_login(session), CKR_PIN_LOCKED);
}

static void test_fifth_wrong_password_locks(void **state)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    (void)state;
    sim_test_start("");
    session = sim_test_open(ALPHA);
    for (int i = 0; i < 5; i++)
        assert_int_equal(login_with(session, "user:passwort"),
                         CKR_PIN_INCORRECT);
    assert_int_equal(sim_test_login(session), CKR_PIN_LOCKED);
    /* The other cluster's user is another one. */
    assert_int_equal(sim_test_login(sim_test_open(BETA)), CKR_OK);
    sim_test_stop(state);
    sim_test_start("pin-tries=1,wrong-pin=CKR_PIN_INVALID,"
                   "locked=CKR_FUNCTION_REJECTED");
    session = sim_test_open(ALPHA);
    assert_int_equal(login_with(session, "user:passwort"), CKR_PIN_INVALID);
    assert_int_equal(sim_test_login(session), CKR_FUNCTION_REJECTED);
}

static void test_login_and_logout_are_of_all_sessions(void **state)
{
    CK_SESSION_HANDLE first = sim_test_begin("");
    CK_SESSION_HANDLE second = sim_test_open(ALPHA);
    CK_SESSION_INFO info;

    (void)state;
    assert_int_equal(sim_test_login(second), CKR_USER_ALREADY_LOGGED_IN);
    assert_int_equal(sim_test_ec_sign(second), CKR_OK);
    assert_int_equal(p11->C_GetSessionInfo(second, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RW_USER_FUNCTIONS);
    assert_true(info.slotID == ALPHA);
    assert_int_equal(sim_test_login(sim_test_open(BETA)), CKR_OK);
    assert_int_equal(p11->C_Logout(second), CKR_OK);
    assert_int_equal(p11->C_Logout(first), CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(p11->C_GetSessionInfo(first, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RW_PUBLIC_SESSION);
    assert_int_equal(sim_test_count(first, NULL, 0, NULL), 0);
    assert_int_equal(sim_test_login(first), CKR_OK);
    assert_int_equal(sim_test_ec_sign(second), CKR_OK);
}

static void test_login_outlives_its_session(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("");

    (void)state;
    assert_int_equal(p11->C_CloseSession(session), CKR_OK);
    assert_int_equal(p11->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
    session = sim_test_open(ALPHA);
    assert_int_equal(sim_test_ec_sign(session), CKR_OK);
    assert_int_equal(sim_test_login(session), CKR_USER_ALREADY_LOGGED_IN);
}

static void test_no_key_is_seen_before_login(void **state)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

    (void)state;
    sim_test_start("");
    session = sim_test_open(ALPHA);
    assert_int_equal(sim_test_count(session, NULL, 0, NULL), 0);
    assert_int_equal(sim_test_login(session), CKR_OK);
    assert_int_equal(sim_test_count(session, NULL, 0, NULL), 4);
}

/* A public key of other means, as softhsm2-util makes it. */
static void test_public_keys_may_be_seen_before_login(void **state)
{
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    const CK_ATTRIBUTE public[] = { { CKA_TOKEN, &yes, sizeof(yes) },
                                    { CKA_PRIVATE, &no, sizeof(no) } };
    CK_OBJECT_HANDLE keys[2];
    CK_SESSION_HANDLE session = sim_test_begin("private-false=CKR_OK");

    assert_int_equal(sim_test_make_ec(session, public, 2, NULL, 0, keys),
                     CKR_OK);
    sim_test_stop(state);
    sim_test_start("");
    session = sim_test_open(ALPHA);
    assert_int_equal(sim_test_count(session, NULL, 0, NULL), 0);
    sim_test_stop(state);
    sim_test_start("visible-before-login=on");
    session = sim_test_open(ALPHA);
    assert_int_equal(sim_test_count(session, NULL, 0, keys), 1);
    assert_int_equal(sim_test_login(session), CKR_OK);
    assert_int_equal(p11->C_DestroyObject(session, keys[0]), CKR_OK);
}

static void login_to_beta(void)
{
    assert_int_equal(sim_test_login(sim_test_open(BETA)), CKR_OK);
}

static void test_parallel_logins_are_slower(void **state)
{
    unsigned long before = 0;
    unsigned long alone = 0;

    (void)state;
    sim_test_start("login=100ms,latency=0us");
    before = sim_test_clock;
    assert_int_equal(sim_test_login(sim_test_open(ALPHA)), CKR_OK);
    alone = sim_test_clock - before;
    assert_int_equal(alone, 100000);
    sim_test_stop(state);
    sim_test_start("login=100ms,latency=0us");
    sim_test_on_sleep = login_to_beta;
    before = sim_test_clock;
    assert_int_equal(sim_test_login(sim_test_open(ALPHA)), CKR_OK);
    assert_int_equal(sim_test_clock - before, 3 * alone);
}

enum { THREADS = 8, SIGNATURES = 20 };

/* A session of its own for each; a lost HSM costs a try. */
static void *sign_some(void *arg)
{
    _Atomic int *made = arg;
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };

    if (p11->C_OpenSession(ALPHA, RW, NULL, NULL, &session) != CKR_OK)
        return NULL;
    for (int i = 0; i < SIGNATURES; i++) {
        CK_ATTRIBUTE label = { CKA_LABEL, "ec_private", 10 };
        CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
        CK_BYTE data[32] = "";
        CK_BYTE sig[64];
        CK_ULONG n = sizeof(sig);
        CK_ULONG found = 0;
        bool ok = p11->C_FindObjectsInit(session, &label, 1) == CKR_OK;

        if (ok) {
            (void)p11->C_FindObjects(session, &key, 1, &found);
            (void)p11->C_FindObjectsFinal(session);
        }
        if (ok && p11->C_SignInit(session, &mechanism, key) == CKR_OK)
            (*made) +=
                p11->C_Sign(session, data, sizeof(data), sig, &n) == CKR_OK;
        else
            (void)sim_test_login(session);
    }
    (void)p11->C_CloseSession(session);
    return NULL;
}

static void test_threads_sign_while_hsms_are_lost(void **state)
{
    pthread_t threads[THREADS];
    _Atomic int made = 0;

    (void)state;
    sim_test_begin("lose-every=50,lose-handles=on,lose-login=on");
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_some, &made),
                         0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    /* Three round trips each: one loss for sixteen, and for each a login. */
    assert_in_range(made, THREADS * SIGNATURES / 4, THREADS * SIGNATURES - 1);
}

/* What a child ends with; a call that ended with another CK_RV fails it. */
static int in_child(CK_RV expected, bool initialise)
{
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        CK_ULONG n = 0;
        bool ok = p11->C_GetSlotList(CK_TRUE, NULL, &n) == expected;

        if (initialise && ok)
            ok =
                p11->C_Initialize(NULL) == CKR_OK &&
                p11->C_OpenSession(ALPHA, RW, NULL, NULL, &session) == CKR_OK &&
                sim_test_login(session) == CKR_OK &&
                sim_test_ec_sign(session) == CKR_OK &&
                p11->C_Finalize(NULL) == CKR_OK;
        _exit(ok ? 0 : FAILED);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_child_has_to_initialise(void **state)
{
    CK_SESSION_HANDLE session = sim_test_begin("");

    (void)state;
    assert_int_equal(in_child(CKR_CRYPTOKI_NOT_INITIALIZED, true), 0);
    assert_int_equal(sim_test_ec_sign(session), CKR_OK);
    sim_test_stop(state);
    sim_test_begin("fork=CKR_DEVICE_ERROR");
    assert_int_equal(in_child(CKR_DEVICE_ERROR, true), 0);
    sim_test_stop(state);
    /* A child of one that never called C_Initialize is as its parent. */
    assert_int_equal(in_child(CKR_CRYPTOKI_NOT_INITIALIZED, true), 0);
}

static void test_child_may_hang(void **state)
{
    (void)state;
    sim_test_begin("fork-hang=on");
    assert_int_equal(in_child(CKR_OK, false), HANGS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_each_cluster_is_a_slot),
        SIM_TEST(test_token_flags_lack_user_pin_initialized),
        SIM_TEST(test_read_only_session_is_refused),
        SIM_TEST(test_callback_is_refused),
        SIM_TEST(test_session_1025_is_refused),
        SIM_TEST(test_pin_without_colon_is_refused),
        SIM_TEST(test_fifth_wrong_password_locks),
        SIM_TEST(test_login_and_logout_are_of_all_sessions),
        SIM_TEST(test_login_outlives_its_session),
        SIM_TEST(test_no_key_is_seen_before_login),
        SIM_TEST(test_public_keys_may_be_seen_before_login),
        SIM_TEST(test_parallel_logins_are_slower),
        SIM_TEST(test_threads_sign_while_hsms_are_lost),
        SIM_TEST(test_child_has_to_initialise),
        SIM_TEST(test_child_may_hang),
    };

    SIM_MAIN("cloudhsm_session", tests);
}
