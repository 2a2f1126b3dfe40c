/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"

static const unsigned char modulus[256] = { 0xc5, 1, 2, 3, [255] = 0x77 };

const struct fake_key fixture_rsa = {
    .type = CKK_RSA,
    .label = LABEL,
    .id = { "\x01", 1 },
    .modulus = { modulus, sizeof(modulus) },
    .exponent = { "\x01\x00\x01", 3 },
    .check_value = { "\xaa\xbb\xcc", 3 },
};

const struct fake_key fixture_ec = {
    .type = CKK_EC,
    .label = "ec",
    .id = { "\x02", 1 },
    .ec_params = { "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10 },
    .ec_point = { "\x04\x03\x04\x01\x02", 5 },
    .check_value = { "\x11\x22\x33", 3 },
};

/* The fake's sign function: "LABEL:data". */
static CK_RV sign_with_label(struct fake *fake, const struct fake_object *key,
                             const CK_MECHANISM *mechanism,
                             const unsigned char *data, size_t len,
                             unsigned char *sig, size_t *siglen)
{
    const CK_ATTRIBUTE *label = fake_attribute(key, CKA_LABEL);

    (void)fake;
    (void)mechanism;
    memcpy(sig, label->pValue, label->ulValueLen);
    sig[label->ulValueLen] = ':';
    memcpy(sig + label->ulValueLen + 1, data, len);
    *siglen = label->ulValueLen + 1 + len;
    return CKR_OK;
}

void fixture_reset(struct fixture *f, const struct fake_profile *profile)
{
    fake_reset_to(f->fake, profile);
    f->fake->sign = sign_with_label;
}

struct fake *fixture_fake(const char *path, void **dl)
{
    struct fake *(*get)(void) = NULL;
    void *symbol = NULL;

    *dl = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (*dl != NULL)
        symbol = dlsym(*dl, "fake_get");
    if (symbol == NULL) {
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs */
        print_error("fixture: %s\n", dlerror());
        return NULL;
    }
    memcpy(&get, &symbol, sizeof(get));
    return get();
}

static bool attach(struct fixture *f)
{
    f->fake = fixture_fake(f->path, &f->dl);
    if (f->fake != NULL)
        fixture_reset(f, &fake_standard);
    return f->fake != NULL;
}

static void detach(struct fixture *f)
{
    fake_reset(f->fake); /* frees what it holds */
    (void)dlclose(f->dl);
}

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs */
    const char *path = getenv("HSMSIGN_FAKE");

    if (f == NULL || path == NULL || strlen(path) >= sizeof(f->path)) {
        print_error("fixture: HSMSIGN_FAKE does not name the fake token\n");
        free(f);
        return -1;
    }
    pthread_mutex_init(&f->lock, NULL);
    memcpy(f->path, path, strlen(path) + 1);
    f->config = (struct p11_module_config){ .path = f->path,
                                            .max_sessions = 64,
                                            .max_idle = 64 };
    *state = f;
    return attach(f) ? 0 : -1;
}

int fixture_setup_open(void **state)
{
    struct fixture *f;

    if (fixture_setup(state) != 0)
        return -1;
    f = *state;
    f->pair = fake_add_key(f->fake, 0, &fixture_rsa);
    fixture_open(f);
    return 0;
}

int fixture_setup_key(void **state)
{
    struct fixture *f;

    if (fixture_setup_open(state) != 0)
        return -1;
    f = *state;
    assert_rv(f, fixture_load(f, URI, PIN, &f->key, &f->err), CKR_OK);
    fake_calls_reset(f->fake);
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    f->fake->before = NULL;
    fake_fail_none(f->fake);
    p11_key_free(f->key);
    fixture_close(f);
    detach(f);
    if (f->dir[0] != '\0') {
        (void)unlink(f->path);
        (void)rmdir(f->dir);
    }
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

static void copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    char buf[4096];
    size_t n;

    assert_non_null(in);
    assert_non_null(out);
    while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
        assert_int_equal(fwrite(buf, 1, n, out), n);
    assert_int_equal(fclose(in), 0);
    assert_int_equal(fclose(out), 0);
}

void fixture_copy_module(struct fixture *f, const char *name)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no thread runs */
    const char *tmp = getenv("TMPDIR");
    char path[sizeof(f->path)];

    (void)snprintf(f->dir, sizeof(f->dir), "%s/hsmsign-p11-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    copy_file(f->path, path);
    detach(f);
    memcpy(f->path, path, sizeof(path));
    assert_true(attach(f));
}

void fixture_open(struct fixture *f)
{
    assert_rv(f, p11_module_open(&f->config, &f->module, &f->err), CKR_OK);
}

void fixture_close(struct fixture *f)
{
    p11_module_close(f->module);
    f->module = NULL;
}

CK_RV fixture_find(struct fixture *f, const char *uri, struct p11_slot **slot)
{
    struct p11_uri *parsed = NULL;
    CK_RV rv = p11_uri_parse(uri, &parsed, &f->err);

    *slot = NULL;
    if (rv == CKR_OK)
        rv = p11_slot_find(f->module, parsed, slot, &f->err);
    p11_uri_free(parsed);
    return rv;
}

struct p11_slot *fixture_slot(struct fixture *f)
{
    struct p11_slot *slot;

    assert_rv(f, fixture_find(f, "pkcs11:token=fake", &slot), CKR_OK);
    return slot;
}

CK_RV fixture_load(struct fixture *f, const char *uri, const char *pin,
                   struct p11_key **key, struct p11_error *err)
{
    struct p11_pin_source source = { 0 };
    struct p11_pin_request request = { .config = &source };
    struct p11_uri *parsed = NULL;
    CK_RV rv = p11_uri_parse(uri, &parsed, err);

    *key = NULL;
    if (rv == CKR_OK && pin != NULL)
        rv = p11_pin_source_set(P11_PIN_LITERAL, pin, "the test's PIN", &source,
                                err);
    if (rv == CKR_OK)
        rv = p11_key_load(f->module, parsed, &request, key, err);
    p11_pin_source_clear(&source);
    p11_uri_free(parsed);
    return rv;
}

CK_RV fixture_sign(struct p11_key *key, const char *label,
                   struct p11_error *err)
{
    static atomic_ulong number;
    CK_MECHANISM mechanism = { CKM_RSA_PKCS, NULL, 0 };
    unsigned char sig[256];
    size_t len = sizeof(sig);
    char data[40], want[100];
    CK_RV rv;

    if (p11_key_type(key) == CKK_EC)
        mechanism.mechanism = CKM_ECDSA;
    (void)snprintf(data, sizeof(data), "data %lu",
                   atomic_fetch_add(&number, 1));
    (void)snprintf(want, sizeof(want), "%s:%s", label, data);
    rv = p11_key_sign(key, &mechanism, (const unsigned char *)data,
                      strlen(data), sig, &len, err);
    if (rv == CKR_OK &&
        (len != strlen(want) || memcmp(sig, want, strlen(want)) != 0))
        rv =
            p11_error_set(err, CKR_SIGNATURE_INVALID, "\"%.*s\" and not \"%s\"",
                          (int)len, (const char *)sig, want);
    return rv;
}

const char *fixture_calls(struct fixture *f)
{
    return fake_calls(f->fake, f->calls, sizeof(f->calls));
}

void fixture_assert_text(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", text, part);
}

void fixture_assert_rv(struct fixture *f, CK_RV got, CK_RV want,
                       const char *file, int line)
{
    if (got == want)
        return;
    print_error("%s and not %s: %s\n", p11_rv_info(got)->name,
                p11_rv_info(want)->name, f->err.text);
    _fail(file, line);
}

static _Thread_local int thread_number = -1;

struct start {
    struct fixture *f;
    fixture_thread *run;
    pthread_barrier_t *barrier;
    pthread_t thread;
    size_t i;
};

static void *start_thread(void *arg)
{
    struct start *start = arg;

    thread_number = (int)start->i;
    pthread_barrier_wait(start->barrier);
    start->run(start->f, start->i);
    return NULL;
}

void fixture_threads(struct fixture *f, size_t n, fixture_thread *run)
{
    struct start *starts = calloc(n, sizeof(*starts));
    pthread_barrier_t barrier;

    assert_non_null(starts);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, (unsigned)n), 0);
    for (size_t i = 0; i < n; i++) {
        starts[i] =
            (struct start){ .f = f, .run = run, .barrier = &barrier, .i = i };
        assert_int_equal(
            pthread_create(&starts[i].thread, NULL, start_thread, &starts[i]),
            0);
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(pthread_join(starts[i].thread, NULL), 0);
    pthread_barrier_destroy(&barrier);
    free(starts);
}

int fixture_thread_number(void)
{
    return thread_number;
}

void fixture_failed(struct fixture *f, const char *what,
                    const struct p11_error *err)
{
    pthread_mutex_lock(&f->lock);
    if (f->failures++ == 0)
        (void)snprintf(f->reason, sizeof(f->reason), "%s: %s", what,
                       err != NULL ? err->text : "");
    pthread_mutex_unlock(&f->lock);
}

void fixture_assert_no_failure(struct fixture *f)
{
    if (f->failures > 0)
        fail_msg("%u failures; the first: %s", f->failures, f->reason);
    assert_int_equal(fake_violations(f->fake), 0);
}

void latch_open(struct latch *latch)
{
    atomic_store(&latch->open, true);
}

bool latch_wait(struct latch *latch, unsigned ms)
{
    static const struct timespec moment = { 0, 1000000 };

    while (!atomic_load(&latch->open) && ms-- > 0)
        (void)nanosleep(&moment, NULL);
    return atomic_load(&latch->open);
}
