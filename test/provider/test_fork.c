/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fork: parent, child and grandchild sign with the key that was loaded before;
 * none of them takes anything from the other.
 *
 * What a child finds out is its exit status: 0 is good.
 */
#include "fake_fixture.h"
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What a child works with, and does. */
struct work {
    OSSL_LIB_CTX *ctx;
    EVP_PKEY *key, *public;
    struct fake *fake;
};

typedef bool child_fn(struct work *work);

/*
 * LeakSanitizer asks: what a child inherits of other threads, and does not
 * free itself, is no leak.
 */
static bool in_child;
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
    return in_child;
}

static pid_t start(child_fn *child, struct work *work, bool quick)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    in_child = true;
    if (!child(work)) {
        ERR_print_errors_fp(stderr);
        _exit(1);
    }
    if (quick)
        _exit(0);
    exit(0); /* NOLINT: with all handlers, also those of the parent */
}

static void assert_child(child_fn *child, struct work *work, bool quick)
{
    pid_t pid = start(child, work, quick);

    assert_true(pid > 0);
    assert_int_equal(fixture_wait(pid), 0);
}

static bool sign(struct work *work)
{
    return fixture_signs(work->ctx, work->key, work->public);
}

static bool sign_often(struct work *work)
{
    for (int i = 0; i < 10; i++) {
        if (!sign(work))
            return false;
    }
    return true;
}

static bool do_nothing(struct work *work)
{
    (void)work;
    return true;
}

static bool fork_and_sign(struct work *work)
{
    pid_t pid = start(sign, work, true);

    return pid > 0 && fixture_wait(pid) == 0 && sign(work);
}

static bool sign_then_fork_and_sign(struct work *work)
{
    return sign(work) && fork_and_sign(work);
}

static bool load_another_key(struct work *work)
{
    EVP_PKEY *key = fixture_load(work->ctx, FIXTURE_URI "p384");
    bool ok = key != NULL && EVP_PKEY_get_bits(key) == 384;

    EVP_PKEY_free(key);
    return ok;
}

static bool free_all(struct work *work)
{
    EVP_PKEY_free(work->key);
    EVP_PKEY_free(work->public);
    OSSL_LIB_CTX_free(work->ctx);
    return true;
}

static bool sign_and_free_all(struct work *work)
{
    return sign(work) && free_all(work);
}

static bool make_own_context(struct work *work)
{
    OSSL_LIB_CTX *ctx = fixture_softhsm(FIXTURE_PIN);
    EVP_PKEY *key = fixture_load(ctx, FIXTURE_URI "p256");
    bool ok = key != NULL && fixture_signs(ctx, key, work->public);

    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
    return ok && sign(work);
}

static void begin(struct work *work, const char *options, const char *uri)
{
    work->ctx = fixture_softhsm(options);
    work->public = fixture_public("p256");
    work->key = fixture_load(work->ctx, uri);
    assert_non_null(work->key);
}

static void end(struct work *work)
{
    (void)free_all(work);
}

static void test_parent_and_child_sign(void **state)
{
    static child_fn *const children[] = { sign,
                                          sign_often,
                                          do_nothing,
                                          fork_and_sign,
                                          sign_then_fork_and_sign,
                                          load_another_key,
                                          free_all,
                                          sign_and_free_all,
                                          make_own_context };

    (void)state;
    for (size_t i = 0; i < 2 * COUNT(children); i++) {
        struct work work = { .ctx = NULL };

        begin(&work, FIXTURE_PIN, FIXTURE_URI "p256");
        if (i % 2 == 0)
            assert_true(sign(&work)); /* a session is idle */
        assert_child(children[i / 2], &work, i % 2 == 0);
        assert_true(sign(&work));
        end(&work);
    }
}

static void test_every_kind_of_key_signs_in_a_child(void **state)
{
    static const char *const names[] = { "rsa2048", "p521", "ed25519",
                                         "p256-bare" };
    struct work work = { .ctx = fixture_softhsm(FIXTURE_PIN) };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        work.key = fixture_key(work.ctx, names[i]);
        work.public = fixture_public(names[i]);
        assert_child(sign, &work, true);
        assert_true(sign(&work));
        EVP_PKEY_free(work.key);
        EVP_PKEY_free(work.public);
    }
    OSSL_LIB_CTX_free(work.ctx);
}

/* Nobody can be asked there: the PIN that was good is good again. */
static void test_child_logs_in_with_the_pin_of_the_parent(void **state)
{
    struct work work = { .ctx = NULL };

    (void)state;
    begin(&work, "", FIXTURE_URI "p256?pin-value=1234");
    assert_child(sign, &work, true);
    assert_child(load_another_key, &work, true);
    assert_true(sign(&work));
    end(&work);
}

static void test_many_children_sign_at_once(void **state)
{
    enum { N = 8 };
    struct work work = { .ctx = NULL };
    pid_t pids[N];

    (void)state;
    begin(&work, FIXTURE_PIN, FIXTURE_URI "p256");
    for (int i = 0; i < N; i++)
        pids[i] = start(sign_often, &work, i % 2 == 0);
    assert_true(sign_often(&work));
    for (int i = 0; i < N; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    end(&work);
}

/* Before the provider has seen the token at all. */
static void test_fork_before_the_first_uri(void **state)
{
    struct work work = { .ctx = fixture_softhsm(FIXTURE_PIN) };

    (void)state;
    assert_child(load_another_key, &work, false);
    assert_true(load_another_key(&work));
    OSSL_LIB_CTX_free(work.ctx);
}

/*
 * What the token sees of a child that signs: PKCS #11 v2.40, 6.6.1.  Its first
 * signature costs what loading the key and signing does.
 */
static bool sign_and_count(struct work *work)
{
    bool ok = false;

    fake_calls_reset(work->fake);
    ok = sign(work) && fake_count(work->fake, "C_Initialize") == 1 &&
         fake_count(work->fake, "C_Login") == 1 &&
         fake_count(work->fake, NULL) <= 11;
    fake_calls_reset(work->fake);
    return ok && sign(work) && fake_count(work->fake, NULL) == 2;
}

static bool free_and_count(struct work *work)
{
    fake_calls_reset(work->fake);
    free_all(work);
    return fake_count(work->fake, NULL) == 0;
}

static bool sign_free_and_count(struct work *work)
{
    bool inherits = work->fake->child_inherits;

    return sign(work) && free_all(work) &&
           fake_count(work->fake, "C_Finalize") == (inherits ? 0 : 1);
}

/* Tokens that begin anew in a child, and tokens that go on as SoftHSM does. */
static void
test_child_initialises_once_and_ends_only_what_it_began(void **state)
{
    static child_fn *const children[] = { sign_and_count, free_and_count,
                                          sign_free_and_count };

    (void)state;
    for (size_t i = 0; i < 2 * COUNT(children); i++) {
        struct work work = { .fake = fake_fixture(),
                             .ctx = fake_context(""),
                             .public = fixture_public("p256") };

        work.fake->child_inherits = i % 2 == 1;
        work.key = fake_key(work.ctx, "p256");
        assert_child(children[i / 2], &work, i % 2 == 0);
        fake_calls_reset(work.fake);
        assert_true(sign(&work));
        assert_int_equal(fake_count(work.fake, NULL), 2);
        end(&work);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parent_and_child_sign),
        cmocka_unit_test(test_every_kind_of_key_signs_in_a_child),
        cmocka_unit_test(test_child_logs_in_with_the_pin_of_the_parent),
        cmocka_unit_test(test_many_children_sign_at_once),
        cmocka_unit_test(test_fork_before_the_first_uri),
        cmocka_unit_test(
            test_child_initialises_once_and_ends_only_what_it_began),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/fork", tests,
                                       fixture_keep_provider, NULL);
}
