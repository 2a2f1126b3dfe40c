/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads: one key that all of them sign with, one login however many
 * come at once, few sessions, a token that loses everything meanwhile.
 *
 * A thread only counts what goes wrong; the test asserts when all have ended.
 */
#include "fake_fixture.h"
#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { THREADS = 32, ROUNDS = 50 };

struct work {
    OSSL_LIB_CTX *ctx;
    EVP_PKEY *key, *public;
    const char *uri;
    pthread_barrier_t start;
    pthread_mutex_t lock;
    int rounds;
    atomic_int good, bad;
    atomic_int errors; /* that were left in a thread's queue */
    char first[512];   /* of them, under the lock */
};

static void run(struct work *work, void *(*thread)(void *), int n)
{
    pthread_t threads[THREADS];

    atomic_init(&work->good, 0);
    atomic_init(&work->bad, 0);
    atomic_init(&work->errors, 0);
    assert_int_equal(pthread_barrier_init(&work->start, NULL, (unsigned)n), 0);
    assert_int_equal(pthread_mutex_init(&work->lock, NULL), 0);
    for (int i = 0; i < n; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread, work), 0);
    for (int i = 0; i < n; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&work->start);
    pthread_mutex_destroy(&work->lock);
}

static void count_errors(struct work *work)
{
    const char *data = "";
    int flags = 0;

    while (ERR_get_error_all(NULL, NULL, NULL, &data, &flags) != 0) {
        atomic_fetch_add(&work->errors, 1);
        pthread_mutex_lock(&work->lock);
        if (work->first[0] == '\0')
            (void)snprintf(work->first, sizeof(work->first), "%s", data);
        pthread_mutex_unlock(&work->lock);
    }
}

static void *sign_many(void *arg)
{
    struct work *work = arg;

    pthread_barrier_wait(&work->start);
    for (int i = 0; i < work->rounds; i++) {
        if (fixture_signs(work->ctx, work->key, work->public))
            atomic_fetch_add(&work->good, 1);
        else
            atomic_fetch_add(&work->bad, 1);
    }
    count_errors(work);
    return NULL;
}

static void *load_and_sign(void *arg)
{
    struct work *work = arg;
    EVP_PKEY *key = NULL;

    pthread_barrier_wait(&work->start);
    key = fixture_load(work->ctx, work->uri);
    if (key != NULL && fixture_signs(work->ctx, key, work->public))
        atomic_fetch_add(&work->good, 1);
    else
        atomic_fetch_add(&work->bad, 1);
    EVP_PKEY_free(key);
    count_errors(work);
    return NULL;
}

static void *compare(void *arg)
{
    struct work *work = arg;

    pthread_barrier_wait(&work->start);
    if (EVP_PKEY_eq(work->key, work->public) == 1)
        atomic_fetch_add(&work->good, 1);
    count_errors(work);
    return NULL;
}

static void assert_all_good(struct work *work, int expected)
{
    if (work->first[0] != '\0')
        fail_msg("%d errors, the first: %s", atomic_load(&work->errors),
                 work->first);
    assert_int_equal(atomic_load(&work->bad), 0);
    assert_int_equal(atomic_load(&work->good), expected);
}

static void sign_with_one_key(OSSL_LIB_CTX *ctx, EVP_PKEY *key,
                              EVP_PKEY *public, int rounds)
{
    struct work work = {
        .ctx = ctx, .key = key, .public = public, .rounds = rounds
    };

    run(&work, sign_many, THREADS);
    assert_all_good(&work, THREADS * rounds);
}

static void test_threads_sign_with_one_key(void **state)
{
    static const struct {
        const char *name;
        int rounds;
    } rows[] = { { "p256", ROUNDS }, { "rsa2048", 5 }, { "ed25519", 5 } };
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        EVP_PKEY *key = fixture_key(ctx, rows[i].name);
        EVP_PKEY *public = fixture_public(rows[i].name);

        sign_with_one_key(ctx, key, public, rows[i].rounds);
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
    OSSL_LIB_CTX_free(ctx);
}

static void test_threads_share_two_sessions(void **state)
{
    OSSL_LIB_CTX *ctx =
        fixture_softhsm(FIXTURE_PIN "hsmsign-max-sessions = 2\n");
    EVP_PKEY *key = fixture_key(ctx, "p256"), *public = fixture_public("p256");

    (void)state;
    sign_with_one_key(ctx, key, public, 10);
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
    OSSL_LIB_CTX_free(ctx);
}

/* Login, and C_Initialize, take time: the others come while it lasts. */
static void be_slow(struct fake *fake, const char *function, void *arg)
{
    static const struct timespec pause = { 0, 50000000 };

    (void)fake;
    (void)arg;
    if (strcmp(function, "C_Login") == 0 ||
        strcmp(function, "C_Initialize") == 0)
        (void)nanosleep(&pause, NULL);
}

static void test_threads_that_load_at_once_log_in_once(void **state)
{
    struct fake *fake = fake_fixture();
    struct work work = { .ctx = fake_context(""),
                         .public = fixture_public("p256"),
                         .uri = FAKE_URI "p256" };

    (void)state;
    fake->before = be_slow;
    run(&work, load_and_sign, THREADS);
    assert_all_good(&work, THREADS);
    assert_int_equal(fake_count(fake, "C_Initialize"), 1);
    assert_int_equal(fake_count(fake, "C_Login"), 1);
    assert_int_equal(fake_violations(fake), 0);
    EVP_PKEY_free(work.public);
    OSSL_LIB_CTX_free(work.ctx);
}

/* A token locks after a few tries: 32 threads must not spend 32 of them. */
static void test_threads_spend_one_try_on_a_wrong_pin(void **state)
{
    struct fake *fake = fake_fixture();
    struct work work = { .ctx = fake_context(""),
                         .public = fixture_public("p256"),
                         .uri = FAKE_URI "p256" };

    (void)state;
    memcpy(fake->slots[0].pin, "4321", 5);
    fake->before = be_slow;
    run(&work, load_and_sign, THREADS);
    assert_int_equal(atomic_load(&work.good), 0);
    assert_int_equal(atomic_load(&work.errors), THREADS);
    assert_int_equal(fake_count(fake, "C_Login"), 1);
    EVP_PKEY_free(work.public);
    OSSL_LIB_CTX_free(work.ctx);
}

static void test_threads_wait_where_the_token_allows_few_sessions(void **state)
{
    struct fake *fake = fake_fixture();
    OSSL_LIB_CTX *ctx = fake_context("");
    EVP_PKEY *key = fake_key(ctx, "p256"), *public = fixture_public("p256");

    (void)state;
    fake->max_sessions = 3;
    sign_with_one_key(ctx, key, public, 10);
    assert_in_range(fake_open_sessions(fake), 1, 3);
    assert_int_equal(fake_violations(fake), 0);
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
    OSSL_LIB_CTX_free(ctx);
}

/* The token restarts under our hands, as often as the number says. */
enum { LOSSES = 3 };

static void *lose_everything(void *arg)
{
    static const struct timespec pause = { 0, 30000000 };

    for (int i = 0; i < LOSSES; i++) {
        (void)nanosleep(&pause, NULL);
        fake_lose(arg, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
    }
    return NULL;
}

static void test_threads_go_on_when_the_token_loses_everything(void **state)
{
    struct fake *fake = fake_fixture();
    OSSL_LIB_CTX *ctx = fake_context("");
    EVP_PKEY *key = fake_key(ctx, "p256"), *public = fixture_public("p256");
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, lose_everything, fake), 0);
    sign_with_one_key(ctx, key, public, ROUNDS);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(fake_violations(fake), 0);
    /* One for each loss; few more if one comes while another is mended. */
    assert_in_range(fake_count(fake, "C_Login"), 2, 1 + 4 * LOSSES);
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
    OSSL_LIB_CTX_free(ctx);
}

/* All bring the same public half to a key that has none. */
static void test_threads_prove_a_public_half_together(void **state)
{
    struct fake *fake = fake_fixture();
    struct work work = { .ctx = fake_context(""),
                         .public = fixture_public("p256-bare") };

    (void)state;
    work.key = fake_key(work.ctx, "p256-bare");
    run(&work, compare, THREADS);
    assert_all_good(&work, THREADS);
    assert_int_equal(fake_violations(fake), 0);
    EVP_PKEY_free(work.key);
    EVP_PKEY_free(work.public);
    OSSL_LIB_CTX_free(work.ctx);
}

/* Contexts that come and go share the one module, and its C_Initialize. */
static void *use_own_context(void *arg)
{
    struct work *work = arg;
    EVP_PKEY *key = fixture_load(work->ctx, work->uri);

    if (key != NULL && fixture_signs(work->ctx, key, work->public))
        atomic_fetch_add(&work->good, 1);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(work->ctx);
    return NULL;
}

static void test_threads_have_contexts_that_come_and_go(void **state)
{
    enum { N = 8 };
    struct work work[N];
    pthread_t threads[N];
    EVP_PKEY *public = fixture_public("p256");

    (void)state;
    for (int i = 0; i < N; i++) {
        work[i] = (struct work){ .ctx = fixture_softhsm(FIXTURE_PIN),
                                 .public = public,
                                 .uri = FIXTURE_URI "p256" };
        atomic_init(&work[i].good, 0);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, use_own_context, &work[i]), 0);
    for (int i = 0; i < N; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(atomic_load(&work[i].good), 1);
    }
    EVP_PKEY_free(public);
}

/* SoftHSM's C_GetTokenInfo asks gmtime(), whose answer is everybody's. */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
    return "race:gmtime\n";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_sign_with_one_key),
        cmocka_unit_test(test_threads_share_two_sessions),
        cmocka_unit_test(test_threads_that_load_at_once_log_in_once),
        cmocka_unit_test(test_threads_spend_one_try_on_a_wrong_pin),
        cmocka_unit_test(test_threads_wait_where_the_token_allows_few_sessions),
        cmocka_unit_test(test_threads_go_on_when_the_token_loses_everything),
        cmocka_unit_test(test_threads_prove_a_public_half_together),
        cmocka_unit_test(test_threads_have_contexts_that_come_and_go),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/threads", tests,
                                       fixture_keep_provider, NULL);
}
