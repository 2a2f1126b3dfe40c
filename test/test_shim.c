/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the shim: it forwards, logs, fails, delays and counts calls as the
 * environment says, and refuses what it does not understand.  What it changes
 * in a token's answers is in test_shim_token.c.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "shim_test.h"

enum { THREADS = 16 };

static void test_shim_shows_one_symbol(void **state)
{
    (void)state;
    shim_test_start(NULL, 0);
    assert_null(dlsym(shim, "C_Sign"));
    assert_null(dlsym(shim, "shim_config"));
    assert_null(dlsym(shim, "shim_call_begin"));
}

static void test_shim_forwards_and_logs_a_signature(void **state)
{
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
    unsigned char digest[] = "0123456789abcdef0123456789abcdef";
    unsigned char sig[64];
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    char expected[512];
    char *text = NULL;

    (void)state;
    shim_test_start(NULL, 0);
    session = shim_test_open_and_login();
    key = shim_test_find_key(session, CKO_PRIVATE_KEY);
    assert_int_equal(shim_test_sign_init(session, key), CKR_OK);
    assert_int_equal(shim_test_sign(session, sig), CKR_OK);
    assert_int_equal(
        p11->C_VerifyInit(session, &mechanism,
                          shim_test_find_key(session, CKO_PUBLIC_KEY)),
        CKR_OK);
    assert_int_equal(p11->C_Verify(session, digest, 32, sig, 64), CKR_OK);
    sig[40] ^= 1;
    assert_int_equal(
        p11->C_VerifyInit(session, &mechanism,
                          shim_test_find_key(session, CKO_PUBLIC_KEY)),
        CKR_OK);
    assert_int_equal(p11->C_Verify(session, digest, 32, sig, 64),
                     CKR_SIGNATURE_INVALID);
    text = shim_test_read_log();
    assert_true(
        snprintf(expected, sizeof(expected),
                 "C_OpenSession 0x0 slot=0x%lx flags=0x6 session=0x%lx\n"
                 "C_Login 0x0 session=0x%lx user=0x1 pin=given\n"
                 "C_FindObjectsInit 0x0 session=0x%lx attrs=0x0\n"
                 "C_FindObjects 0x0 session=0x%lx\n"
                 "C_FindObjectsFinal 0x0 session=0x%lx\n"
                 "C_SignInit 0x0 session=0x%lx mechanism=0x1041 key=0x%lx\n"
                 "C_Sign 0x0 session=0x%lx\n",
                 slot, session, session, session, session, session, session,
                 key, session) > 0);
    assert_non_null(strstr(text, expected));
    assert_int_equal(strncmp(text,
                             "C_GetFunctionList 0x0\nC_Initialize 0x0\n"
                             "C_GetSlotList 0x0 present=0x1\nC_GetTokenInfo ",
                             75),
                     0);
    assert_null(strstr(text, "pass"));
    assert_null(strstr(text, "0123456789abcdef"));
    free(text);
    assert_int_equal(shim_test_count_lines("C_VerifyInit 0x0 session="), 2);
    assert_int_equal(shim_test_count_lines("C_Verify 0xc0 session="), 1);
}

static void test_shim_cuts_a_line_that_is_too_long(void **state)
{
    CK_ATTRIBUTE templ[400];
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    char *text = NULL;
    size_t i = 0;

    (void)state;
    for (i = 0; i < 400; i++)
        templ[i] = (CK_ATTRIBUTE){ 0x80001234UL, NULL, 0 };
    shim_test_start(NULL, 0);
    session = shim_test_open_session();
    (void)p11->C_FindObjectsInit(session, templ, 400);
    text = shim_test_read_log();
    assert_non_null(strstr(text, "attrs=0x80001234,0x80001234,"));
    assert_true(strlen(text) < 3000);
    assert_string_equal(text + strlen(text) - 4, "...\n");
    free(text);
}

static void test_shim_fails_the_calls_of_its_rules(void **state)
{
    static const struct shim_setting settings[] = {
        { "FAIL", "C_SignInit=0x30*2@2;C_SignInit=5@3;C_Digest=0x54" }
    };
    CK_RV expected[] = { CKR_OK, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR,
                         CKR_GENERAL_ERROR, CKR_GENERAL_ERROR };
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    unsigned char sig[64];
    size_t i = 0;

    (void)state;
    shim_test_start(settings, 1);
    session = shim_test_open_and_login();
    key = shim_test_find_key(session, CKO_PRIVATE_KEY);
    for (i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_int_equal(shim_test_sign_init(session, key), expected[i]);
    /* What failed was not forwarded: the first one is still waiting. */
    assert_int_equal(shim_test_sign(session, sig), CKR_OK);
    assert_int_equal(p11->C_Digest(session, sig, 1, NULL, NULL),
                     CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(shim_test_count_lines("C_SignInit 0x30 session="), 2);
    assert_int_equal(shim_test_count_lines("C_SignInit 0x5 session="), 2);
    /* The counts go on over C_Finalize, so that no fault comes twice. */
    assert_int_equal(p11->C_Finalize(NULL), CKR_OK);
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
    session = shim_test_open_and_login();
    assert_int_equal(shim_test_sign_init(session, key), CKR_GENERAL_ERROR);
}

static long long microseconds(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static void test_shim_delays_round_trips_only(void **state)
{
    static const struct shim_setting settings[] = { { "DELAY_US", "50000" } };
    CK_TOKEN_INFO token;
    CK_ULONG n = 0;
    CK_INFO info;
    long long begin = 0;
    int i = 0;

    (void)state;
    shim_test_start(settings, 1);
    begin = microseconds();
    assert_int_equal(p11->C_GetTokenInfo(slot, &token), CKR_OK);
    assert_true(microseconds() - begin >= 50000);
    begin = microseconds();
    for (i = 0; i < 100; i++) {
        assert_int_equal(p11->C_GetInfo(&info), CKR_OK);
        assert_int_equal(p11->C_GetSlotList(CK_TRUE, NULL, &n), CKR_OK);
        assert_int_equal(p11->C_GetMechanismList(slot, NULL, &n), CKR_OK);
    }
    assert_true(microseconds() - begin < 300 * 50000LL);
}

static void *open_in_thread(void *arg)
{
    atomic_int *opened = arg;
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_RV rv = p11->C_OpenSession(slot, RW, NULL, NULL, &session);

    if (rv == CKR_OK)
        (*opened)++;
    else if (rv != CKR_SESSION_COUNT)
        *opened += 1000;
    return NULL;
}

static void test_shim_limits_sessions_of_all_threads(void **state)
{
    static const struct shim_setting settings[] = { { "MAX_SESSIONS", "5" } };
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_SESSION_HANDLE other = CK_INVALID_HANDLE;
    pthread_t threads[THREADS];
    atomic_int opened = 0;
    int i = 0;

    (void)state;
    shim_test_start(settings, 1);
    session = shim_test_open_session();
    for (i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, open_in_thread, &opened), 0);
    for (i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(opened, 4);
    assert_int_equal(shim_test_count_lines("C_OpenSession 0xb1 "), THREADS - 4);
    assert_int_equal(p11->C_CloseSession(session), CKR_OK);
    shim_test_open_session();
    /* What the token itself refuses takes no place. */
    assert_int_equal(p11->C_OpenSession(slot, RW, NULL, NULL, &other),
                     CKR_SESSION_COUNT);
    assert_int_equal(p11->C_CloseAllSessions(slot), CKR_OK);
    assert_int_equal(p11->C_OpenSession(slot, 0, NULL, NULL, &other),
                     CKR_SESSION_PARALLEL_NOT_SUPPORTED);
    for (i = 0; i < 5; i++)
        shim_test_open_session();
    assert_int_equal(p11->C_OpenSession(slot, RW, NULL, NULL, &other),
                     CKR_SESSION_COUNT);
}

static void test_shim_child_of_fork_has_no_sessions(void **state)
{
    static const struct shim_setting settings[] = {
        { "MAX_SESSIONS", "1" }, { "FAIL", "C_Digest=5@2" }
    };
    CK_SESSION_HANDLE other = CK_INVALID_HANDLE;
    int status = 0;
    pid_t pid = 0;

    (void)state;
    shim_test_start(settings, 2);
    shim_test_open_session();
    (void)p11->C_Digest(CK_INVALID_HANDLE, NULL, 0, NULL, NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(p11->C_OpenSession(slot, RW, NULL, NULL, &other) == CKR_OK &&
                      p11->C_Digest(other, NULL, 0, NULL, NULL) ==
                          CKR_GENERAL_ERROR
                  ? 0
                  : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(p11->C_OpenSession(slot, RW, NULL, NULL, &other),
                     CKR_SESSION_COUNT);
}

struct bad_setting {
    struct shim_setting setting;
    const char *says;
};

/* Load in a child, with its errors in a pipe, and return how it ended. */
static int load_in_child(const struct shim_setting *setting, char *text,
                         size_t size)
{
    const struct rlimit no_core = { 0, 0 };
    ssize_t len = 0;
    int ends[2];
    int status = 0;
    pid_t pid = 0;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], STDERR_FILENO);
        shim_test_load(shim_test_required("SOFTHSM2_MODULE"), setting, 1);
        _exit(0);
    }
    close(ends[1]);
    len = read(ends[0], text, size - 1);
    assert_true(len >= 0);
    text[len] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_shim_aborts_on_what_it_does_not_understand(void **state)
{
    static const struct bad_setting rows[] = {
        { { "FIAL", "C_Sign=0x30" }, "SHIM_FIAL: no such variable" },
        { { "MODULE", "/nonexistent.so" }, "nonexistent.so" },
        { { "MODULE", "" }, "SHIM_MODULE: not set" },
        { { "LOG", "/nonexistent/log" }, "SHIM_LOG: cannot open" },
        { { "DELAY_US", "1s" }, "SHIM_DELAY_US" },
        { { "DELAY_US", "-1" }, "SHIM_DELAY_US" },
        { { "DELAY_US", "99999999999999999999999" }, "SHIM_DELAY_US" },
        { { "MAX_SESSIONS", "0" }, "SHIM_MAX_SESSIONS" },
        { { "FAIL", "C_Sing=0x30" }, "C_Sing=0x30" },
        { { "FAIL", "C_Sig=0x30" }, "C_Sig=0x30" },
        { { "FAIL", "C_Sign" }, "does not begin with FUNCTION=" },
        { { "FAIL", "C_Sign=" }, "a number is expected" },
        { { "FAIL", "C_Sign=0x" }, "a number is expected" },
        { { "FAIL", "C_Sign=0" }, "other than 0" },
        { { "FAIL", "C_Sign=0x30*0" }, "COUNT must be at least 1" },
        { { "FAIL", "C_Sign=0x30@0" }, "N of at least 1" },
        { { "FAIL", "C_Sign=0x30@1*1" }, "is not FUNCTION=CK_RV" },
        { { "FAIL", "C_Sign=0x30;" }, "nothing after the last ';'" },
        { { "FAIL", ";C_Sign=0x30" }, "an item is empty" },
        { { "TOKEN_FLAGS", "0x100" }, "does not begin with + or -" },
        { { "TOKEN_FLAGS", "+0x100" }, "HSMSIGN_SHIM_PINPAD" },
        { { "TOKEN_FLAGS", "+0x4,-0x4" }, "both set and cleared" },
        { { "ATTR", "0x202" }, "is not TYPE=HEX" },
        { { "ATTR", "0x202=1" }, "is not TYPE=HEX" },
        { { "ATTR", "0x202=0g" }, "is not TYPE=HEX" },
        { { "ATTR", "CKA_SIGN=00" }, "a number is expected" },
    };
    static const struct shim_setting good = { "FAIL", "" };
    char text[1024];
    size_t i = 0;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int status = load_in_child(&rows[i].setting, text, sizeof(text));

        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT ||
            strstr(text, rows[i].says) == NULL)
            fail_msg("%s=%s: status %d, said: %s", rows[i].setting.name,
                     rows[i].setting.value, status, text);
    }
    assert_int_equal(load_in_child(&good, text, sizeof(text)), 0);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHIM_TEST(test_shim_shows_one_symbol),
        SHIM_TEST(test_shim_forwards_and_logs_a_signature),
        SHIM_TEST(test_shim_cuts_a_line_that_is_too_long),
        SHIM_TEST(test_shim_fails_the_calls_of_its_rules),
        SHIM_TEST(test_shim_delays_round_trips_only),
        SHIM_TEST(test_shim_limits_sessions_of_all_threads),
        SHIM_TEST(test_shim_child_of_fork_has_no_sessions),
        SHIM_TEST(test_shim_aborts_on_what_it_does_not_understand),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("shim", tests, shim_test_make_token,
                                       shim_test_remove_token);
}
