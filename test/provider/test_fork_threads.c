/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fork while other threads sign: the child, which has none of them, signs and
 * exits, and they go on.
 *
 * Not for AddressSanitizer and ThreadSanitizer before GCC 14 and clang 17,
 * whose allocators do not survive such a fork: the child may hang in malloc().
 */
#include "fixture.h"
#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static OSSL_LIB_CTX *ctx;
static EVP_PKEY *key, *public;

static bool sign_often(void)
{
    for (int i = 0; i < 10; i++) {
        if (!fixture_signs(ctx, key, public))
            return false;
    }
    return true;
}

static bool sign_in_a_grandchild(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(sign_often() ? 0 : 1);
    return pid > 0 && fixture_wait(pid) == 0 && sign_often();
}

static pid_t start(bool (*child)(void), bool quick)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    if (!child()) {
        ERR_print_errors_fp(stderr);
        _exit(1);
    }
    if (quick)
        _exit(0);
    exit(0); /* NOLINT: with all handlers, also those of the parent */
}

struct signer {
    EVP_PKEY_CTX *pctx;
    atomic_bool *stop;
    atomic_int good, bad;
    unsigned char sig[FIXTURE_SIGNATURE_MAX]; /* the last one */
    size_t len;
};

static void *sign_until_stopped(void *arg)
{
    struct signer *signer = arg;

    while (!atomic_load(signer->stop)) {
        signer->len = fixture_sign_quietly(signer->pctx, signer->sig);
        atomic_fetch_add(signer->len > 0 ? &signer->good : &signer->bad, 1);
    }
    ERR_clear_error();
    return NULL;
}

/* Until the thread has signed once more: it was not hurt. */
static void wait_for(struct signer *signer)
{
    int before = atomic_load(&signer->good);

    while (atomic_load(&signer->good) == before &&
           atomic_load(&signer->bad) == 0)
        (void)usleep(1000);
}

static void test_fork_while_threads_sign(void **state)
{
    enum { THREADS = 8, FORKS = 10 };
    struct signer signers[THREADS];
    pthread_t threads[THREADS];
    atomic_bool stop;
    int status = 0, worst = 0;

    (void)state;
    atomic_init(&stop, false);
    ctx = fixture_softhsm(FIXTURE_PIN);
    key = fixture_key(ctx, "p256");
    public = fixture_public("p256");
    for (int i = 0; i < THREADS; i++) {
        memset(&signers[i], 0, sizeof(signers[i]));
        signers[i].pctx = fixture_signer(ctx, key);
        signers[i].stop = &stop;
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, sign_until_stopped, &signers[i]),
            0);
    for (int i = 0; i < FORKS; i++) {
        wait_for(&signers[i % THREADS]);
        status = fixture_wait(
            start(i % 3 == 2 ? sign_in_a_grandchild : sign_often, i % 2 == 0));
        if (status != 0)
            worst = status;
    }
    for (int i = 0; i < THREADS; i++)
        wait_for(&signers[i]);
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        EVP_PKEY_CTX_free(signers[i].pctx);
        assert_int_equal(atomic_load(&signers[i].bad), 0);
        assert_true(
            fixture_verify(public, "SHA256", signers[i].sig, signers[i].len));
    }
    assert_int_equal(worst, 0);
    EVP_PKEY_free(key);
    EVP_PKEY_free(public);
    OSSL_LIB_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork_while_threads_sign),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/fork, threads", tests, NULL,
                                       NULL);
}
