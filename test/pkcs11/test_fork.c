/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pkcs11/fork: parent and child both go on signing; the child begins anew,
 * with the PIN that is known, and leaves the parent's sessions alone.
 *
 * A child reports by its exit status: 0, or the number of the line that was
 * not as it should be (modulo 256, never 0).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../pkcs11/session.h"
#include "fixture.h"

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition))                                                      \
            return __LINE__;                                                   \
    } while (0)

#define KILLED 300 /* instead of a status */

typedef int child_fn(struct fixture *f);

static struct latch latches[3];

/* The child's status; KILLED if a signal ended it, 255 if it hung. */
static int wait_for(pid_t pid)
{
    static const struct timespec moment = { 0, 1000000 };
    int status = 0;

    for (int ms = 0; ms < 20000; ms++) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : KILLED;
        (void)nanosleep(&moment, NULL);
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    return 255;
}

static pid_t start_child(struct fixture *f, child_fn *run)
{
    pid_t pid;

    (void)fflush(NULL);
    pid = fork();
    if (pid == 0) {
        int line;

        fake_calls_reset(f->fake);
        line = run(f);
        if (line != 0)
            print_error("child: line %d: %s\n", line, f->err.text);
        _exit(line == 0 ? 0 : line % 254 + 1);
    }
    return pid;
}

static void assert_child(struct fixture *f, child_fn *run)
{
    assert_int_equal(wait_for(start_child(f, run)), 0);
}

static int sign_anew(struct fixture *f)
{
    CHECK(fixture_sign(f->key, LABEL, &f->err) == CKR_OK);
    CHECK(fake_count(f->fake, "C_Initialize") == 1);
    CHECK(fake_count(f->fake, "C_Login") == 1);
    CHECK(fake_count(f->fake, "C_OpenSession") == 1);
    CHECK(fake_count(f->fake, "C_CloseSession") == 0);
    for (int i = 0; i < 10; i++)
        CHECK(fixture_sign(f->key, LABEL, &f->err) == CKR_OK);
    CHECK(fake_count(f->fake, "C_Initialize") == 1);
    CHECK(fake_count(f->fake, "C_Login") == 1);
    CHECK(fake_count(f->fake, "C_OpenSession") == 1);
    CHECK(fake_count(f->fake, "C_FindObjects") == 1);
    return 0;
}

static void test_parent_and_child_sign(void **state)
{
    struct fixture *f = *state;
    size_t sessions = fake_open_sessions(f->fake);

    /* The fake, strict here, gives the child nothing of the parent's. */
    assert_child(f, sign_anew);
    fake_calls_reset(f->fake);
    assert_signs(f);
    assert_calls(f, SIGN_CALLS);
    assert_int_equal(fake_open_sessions(f->fake), sessions);
}

/* As SoftHSM's child: 0x191 and 0x100, and the parent's sessions are there. */
static void test_child_that_inherits_the_token_signs(void **state)
{
    struct fixture *f = *state;

    f->fake->child_inherits = true;
    assert_child(f, sign_anew);
    assert_signs(f);
}

static int load_anew(struct fixture *f)
{
    struct p11_key *key;

    CHECK(fixture_load(f, URI, PIN, &key, &f->err) == CKR_OK);
    CHECK(fixture_sign(key, LABEL, &f->err) == CKR_OK);
    CHECK(fixture_sign(f->key, LABEL, &f->err) == CKR_OK);
    CHECK(fake_count(f->fake, "C_Login") == 1);
    p11_key_free(key);
    return 0;
}

static void test_child_loads_a_key(void **state)
{
    struct fixture *f = *state;

    assert_child(f, load_anew);
    f->fake->child_inherits = true;
    assert_child(f, load_anew);
}

static int close_unused(struct fixture *f)
{
    p11_key_free(f->key);
    fixture_close(f);
    CHECK(fake_count(f->fake, NULL) == 0);
    return 0;
}

static int close_used(struct fixture *f)
{
    bool inherits = f->fake->child_inherits;

    CHECK(fixture_sign(f->key, LABEL, &f->err) == CKR_OK);
    p11_key_free(f->key);
    fixture_close(f);
    CHECK(fake_count(f->fake, "C_CloseSession") == 1); /* its own */
    /* Only who initialised it finalises it. */
    CHECK(fake_count(f->fake, "C_Finalize") == (inherits ? 0 : 1));
    return 0;
}

static void test_child_closes_and_finalises_only_what_is_its_own(void **state)
{
    struct fixture *f = *state;

    for (int inherits = 0; inherits < 2; inherits++) {
        f->fake->child_inherits = inherits != 0;
        assert_child(f, close_unused);
        assert_child(f, close_used);
    }
    assert_signs(f);
}

static int sign_in_grandchild(struct fixture *f)
{
    int status;

    CHECK(fixture_sign(f->key, LABEL, &f->err) == CKR_OK);
    status = wait_for(start_child(f, sign_anew));
    CHECK(status == 0);
    CHECK(fixture_sign(f->key, LABEL, &f->err) == CKR_OK);
    return 0;
}

static void test_grandchild_signs(void **state)
{
    struct fixture *f = *state;

    assert_child(f, sign_in_grandchild);
    assert_signs(f);
}

static int fail_and_sign(struct fixture *f)
{
    fake_fail(f->fake, "C_Initialize", CKR_DEVICE_ERROR, 1, 1);
    CHECK(fixture_sign(f->key, LABEL, &f->err) == CKR_DEVICE_ERROR);
    CHECK(strstr(f->err.text, "C_Initialize") != NULL);
    CHECK(fixture_sign(f->key, LABEL, &f->err) == CKR_OK);
    return 0;
}

static void test_child_may_initialise_later(void **state)
{
    assert_child(*state, fail_and_sign);
}

static int see_another_key(struct fixture *f)
{
    fake_set_attribute(f->fake, f->pair.private_key, CKA_MODULUS, "x", 1);
    CHECK(fixture_sign(f->key, LABEL, &f->err) == P11_KEY_CHANGED);
    CHECK(fake_count(f->fake, "C_SignInit") == 0);
    return 0;
}

static void test_child_sees_that_the_key_changed(void **state)
{
    assert_child(*state, see_another_key);
}

static int sign_some(struct fixture *f)
{
    for (int i = 0; i < 3; i++)
        CHECK(fixture_sign(f->key, LABEL, &f->err) == CKR_OK);
    CHECK(fake_count(f->fake, "C_Login") == 1);
    return 0;
}

/*
 * Ends without a search for leaks: what the parent's other threads hold, who
 * are in the middle of a call, is lost in a child, and rightly so.
 */
static int sign_and_be_killed(struct fixture *f)
{
    int line = sign_some(f);

    if (line == 0)
        (void)raise(SIGKILL);
    return line;
}

/*
 * Thread 0 forks, the others sign all the while; on a slow machine their calls
 * may take longer than a fork waits for them.
 */
static void fork_or_sign(struct fixture *f, size_t i)
{
    struct p11_error err = { 0 };

    while (i > 0 && !atomic_load(&f->done)) {
        if (fixture_sign(f->key, LABEL, &err) != CKR_OK)
            fixture_failed(f, "parent", &err);
    }
    if (i > 0)
        return;
    for (int n = 0; n < 50; n++) {
        int status = wait_for(start_child(f, sign_and_be_killed));

        if (status != KILLED) {
            (void)snprintf(err.text, sizeof(err.text), "%d", status);
            fixture_failed(f, "child", &err);
        }
        fake_calls_reset(f->fake);
    }
    atomic_store(&f->done, true);
}

static void test_fork_while_threads_sign(void **state)
{
    struct fixture *f = *state;

    fixture_threads(f, 5, fork_or_sign);
    fixture_assert_no_failure(f);
    assert_signs(f);
    f->fake->child_inherits = true;
    atomic_store(&f->done, false);
    fixture_threads(f, 5, fork_or_sign);
    fixture_assert_no_failure(f);
}

/* A login takes longer than a fork waits for it. */
static void slow_login(struct fake *fake, const char *function, void *arg)
{
    (void)fake;
    (void)arg;
    if (strcmp(function, "C_Login") == 0 && fixture_thread_number() == 1) {
        latch_open(&latches[0]);
        (void)latch_wait(&latches[1], 5000);
    }
}

static void fork_or_log_in(struct fixture *f, size_t i)
{
    struct p11_error err = { 0 };

    if (i == 1) {
        if (fixture_sign(f->key, LABEL, &err) != CKR_OK)
            fixture_failed(f, "parent", &err);
        return;
    }
    (void)latch_wait(&latches[0], 5000);
    if (wait_for(start_child(f, sign_and_be_killed)) != KILLED)
        fixture_failed(f, "child", NULL);
    latch_open(&latches[1]);
}

static void test_child_of_a_fork_during_a_login_has_the_pin(void **state)
{
    struct fixture *f = *state;

    memset(latches, 0, sizeof(latches));
    fake_lose(f->fake, FAKE_LOGIN);
    f->fake->before = slow_login;
    fixture_threads(f, 2, fork_or_log_in);
    fixture_assert_no_failure(f);
}

/* Between the handlers of pkcs11/fork and the fake's, a thread finds a token.
 */
static struct fixture *forking;

static void during_fork(void)
{
    if (forking == NULL)
        return;
    latch_open(&latches[0]);
    (void)latch_wait(&latches[1], 300);
}

static void fork_or_look(struct fixture *f, size_t i)
{
    struct p11_slot *slot;

    if (i == 0) {
        if (wait_for(start_child(f, sign_and_be_killed)) != KILLED)
            fixture_failed(f, "child", NULL);
        latch_open(&latches[2]);
        return;
    }
    (void)latch_wait(&latches[0], 2000);
    if (fixture_find(f, "pkcs11:token=new", &slot) != CKR_OK) {
        fixture_failed(f, "find", &f->err);
        return;
    }
    pthread_mutex_lock(&slot->lock);
    latch_open(&latches[1]);
    /* Nobody else unlocks what this thread has locked. */
    (void)latch_wait(&latches[2], 5000);
    if (pthread_mutex_trylock(&slot->lock) == 0)
        fixture_failed(f, "the lock of the new slot is free", NULL);
    pthread_mutex_unlock(&slot->lock);
}

static void test_token_that_is_found_during_a_fork_keeps_its_lock(void **state)
{
    struct fixture *f = *state;

    (void)fake_add_slot(f->fake, "new", "2");
    memset(latches, 0, sizeof(latches));
    forking = f;
    fixture_threads(f, 2, fork_or_look);
    forking = NULL;
    fixture_assert_no_failure(f);
}

int main(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs */
    const char *path = getenv("HSMSIGN_FAKE");
    void *dl;
    const struct CMUnitTest tests[] = {
        TEST_KEY(test_parent_and_child_sign),
        TEST_KEY(test_child_that_inherits_the_token_signs),
        TEST_KEY(test_child_loads_a_key),
        TEST_KEY(test_child_closes_and_finalises_only_what_is_its_own),
        TEST_KEY(test_grandchild_signs),
        TEST_KEY(test_child_may_initialise_later),
        TEST_KEY(test_child_sees_that_the_key_changed),
        TEST_KEY(test_fork_while_threads_sign),
        TEST_KEY(test_child_of_a_fork_during_a_login_has_the_pin),
        TEST_KEY(test_token_that_is_found_during_a_fork_keeps_its_lock),
    };

    /*
     * The handlers that are registered last run first before a fork: those of
     * the code under test, then ours, then those of the fake, which stays
     * loaded here so that it does not register them anew with each test.
     */
    if (path == NULL || fixture_fake(path, &dl) == NULL)
        return 1;
    if (pthread_atfork(during_fork, NULL, NULL) != 0)
        return 1;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
