/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation of pkcs11/ and provider/ fails once, from the provider's
 * init to the last signature: those by malloc() and its kin, between which and
 * libc this program stands since the provider is linked in, and those by
 * libcrypto's OPENSSL_malloc(), which says whose they are by the name of a
 * file.
 *
 * Those of libcrypto itself do not: 3.0 frees a store's loader twice then, and
 * leaks, in places where hsmsign has no part.
 */
#include "scenario.h"
#include <hsmsign.h>
#include <limits.h>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whose allocations fail: scenario_run.fault. */
enum { BY_MALLOC, BY_OPENSSL };

/* The run whose allocations are counted now; NULL: none. */
static struct scenario_run *counted;

static bool fails(size_t whose)
{
    return counted != NULL && counted->fault == whose &&
           counted->n_allocations++ == counted->failing;
}

/*
 * What pkcs11/ and provider/ have and have not given back: blocks of malloc(),
 * as a number; blocks of CRYPTO_malloc(), which says whose they are by the name
 * of the file, one by one, since libcrypto frees some of them.
 */
static struct {
    long blocks;
    size_t n;
    void *owned[4096];
} ours;

static bool is_ours(const char *file)
{
    return file != NULL && strstr(file, "provider/") != NULL &&
           strstr(file, "providers/") == NULL;
}

static void own(void *memory, const char *file)
{
    if (memory != NULL && is_ours(file) && ours.n < COUNT(ours.owned))
        ours.owned[ours.n++] = memory;
}

static void disown(const void *memory)
{
    for (size_t i = 0; i < ours.n; i++) {
        if (ours.owned[i] == memory) {
            ours.owned[i] = ours.owned[--ours.n];
            return;
        }
    }
}

static void *counting(void *memory)
{
    ours.blocks += memory != NULL;
    return memory;
}

/* The linker's names for what the program calls, and for what is meant. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *memory);
void __wrap_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
    return fails(BY_MALLOC) ? NULL : counting(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails(BY_MALLOC) ? NULL : counting(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (fails(BY_MALLOC))
        return NULL;
    return old == NULL ? counting(__real_malloc(size))
                       : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails(BY_MALLOC) ? NULL : counting(__real_strdup(text));
}

void __wrap_free(void *memory)
{
    ours.blocks -= memory != NULL;
    __real_free(memory);
}

static void *crypto_malloc(size_t size, const char *file, int line)
{
    void *memory =
        is_ours(file) && fails(BY_OPENSSL) ? NULL : __real_malloc(size);

    (void)line;
    own(memory, file);
    return memory;
}

static void *crypto_realloc(void *old, size_t size, const char *file, int line)
{
    void *memory =
        is_ours(file) && fails(BY_OPENSSL) ? NULL : __real_realloc(old, size);

    (void)line;
    if (memory != NULL) {
        disown(old);
        own(memory, file);
    }
    return memory;
}

static void crypto_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    disown(memory);
    __real_free(memory);
}

static void count(struct scenario_run *run, bool on)
{
    counted = on ? run : NULL;
}

static struct {
    long blocks;
    size_t n;
} before;

static void begun(struct scenario_run *run)
{
    (void)run;
    before.blocks = ours.blocks;
    before.n = ours.n;
}

/* The provider that is linked in; NULL if it could not begin. */
static OSSL_LIB_CTX *builtin(struct scenario_run *run, struct fake *fake)
{
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
    BIO *text = BIO_new(BIO_s_mem());
    CONF *conf = NCONF_new_ex(ctx, NULL);
    bool there;

    (void)fake;
    OPENSSL_load_builtin_modules();
    assert_int_equal(
        OSSL_PROVIDER_add_builtin(ctx, "hsmsign", hsmsign_provider_init), 1);
    assert_true(BIO_printf(text,
                           "openssl_conf = init\n[init]\nproviders = all\n"
                           "[all]\ndefault = theirs\nhsmsign = ours\n"
                           "[theirs]\nactivate = 1\n"
                           "[ours]\nactivate = 1\npkcs11-module-path = %s\n"
                           "hsmsign-deadline = 60000\n" FIXTURE_PIN,
                           fixture_required("HSMSIGN_FAKE")) > 0);
    assert_true(NCONF_load_bio(conf, text, NULL) > 0);
    count(run, true);
    there = CONF_modules_load(conf, NULL, 0) > 0 &&
            OSSL_PROVIDER_available(ctx, "hsmsign");
    count(run, false);
    NCONF_free(conf);
    BIO_free(text);
    if (there)
        return ctx;
    OSSL_LIB_CTX_free(ctx);
    return NULL;
}

/* Each process of a run, when it has freed all. */
static void ended(struct scenario_run *run)
{
    if (ours.blocks != before.blocks || ours.n != before.n)
        run->kept = true;
}

static const struct scenario_hooks hooks = { builtin, NULL, count, begun,
                                             ended };

static unsigned failed;

static const char *why_bad(const struct scenario_run *r)
{
    failed += scenario_failures(r, false) > 0;
    if (scenario_bad(r) != NULL)
        return scenario_bad(r);
    /* The provider did not begin, and said so. */
    if (r->first[STEP_LOAD] == RESULT_NONE)
        return NULL;
    return scenario_failures(r, true) == 0 ? NULL : "has broken something";
}

static void name(const struct scenario_run *r, char *buf, size_t size)
{
    (void)snprintf(buf, size, "allocation %u of %s", r->failing,
                   r->fault == BY_MALLOC ? "malloc()" : "OPENSSL_malloc()");
}

static void exhaust(const char *key, size_t whose)
{
    struct scenario_run *runs = scenario_runs();
    unsigned all, fork_at, tried = 0, bad = 0;
    size_t n = 0;

    failed = 0;
    runs[0] = (struct scenario_run){
        .key = key, .forks = true, .fault = whose, .failing = UINT_MAX
    };
    scenario_make(1, &hooks);
    assert_null(scenario_bad(&runs[0]));
    assert_int_equal(scenario_failures(&runs[0], false), 0);
    all = runs[0].n_allocations;
    fork_at = runs[0].before_fork;
    for (unsigned i = 0; i < all; i++) {
        runs[n++] = (struct scenario_run){
            .key = key, .forks = i >= fork_at, .fault = whose, .failing = i
        };
        if (n < SCENARIO_BATCH && i + 1 < all)
            continue;
        scenario_make(n, &hooks);
        bad += scenario_judge(n, why_bad, name);
        tried += (unsigned)n;
        n = 0;
    }
    (void)printf("# %s, %s: %u of %u allocations failed; %u failed a step; "
                 "%u bad\n",
                 key, whose == BY_MALLOC ? "malloc()" : "OPENSSL_malloc()",
                 tried, all, failed, bad);
    (void)fflush(stdout);
    assert_int_equal(bad, 0);
}

static void test_every_malloc_fails_once(void **state)
{
    (void)state;
    exhaust("rsa2048", BY_MALLOC);
    exhaust("p256", BY_MALLOC);
}

static void test_every_openssl_malloc_fails_once(void **state)
{
    (void)state;
    exhaust("rsa2048", BY_OPENSSL);
    exhaust("p256", BY_OPENSSL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_malloc_fails_once),
        cmocka_unit_test(test_every_openssl_malloc_fails_once),
    };

    if (!CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free))
        return 99;
    fixture_begin();
    return cmocka_run_group_tests_name("provider/allocations", tests, NULL,
                                       NULL);
}
