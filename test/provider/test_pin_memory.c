/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PIN stays in no memory that we give back: everything that hsmsign.so
 * frees is searched for it, wherever the PIN came from.
 *
 * This program defines free() and its kin, and libcrypto's, so that the
 * dynamic linker takes ours.  Who frees is decided by the return address: what
 * libcrypto and SoftHSM do with their own memory is not our business here.
 */
#include "fake_fixture.h"
#include "wrap.h"
#include <dlfcn.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What PINs here have in common, and what comes up by itself nowhere. */
#define PART  "Boxkaempfer"
#define RIGHT "Zwoelf-" PART "-jagen-Viktor"
#define WRONG "Zwoelf-" PART "-jagen-Eva"

static const char *provider; /* path of hsmsign.so */
static struct {
    unsigned long seen;   /* blocks that hsmsign.so gave back */
    unsigned long leaked; /* of these, with the PIN inside */
    char function[32];    /* that gave back the first one */
} watch;

/* These run before a sanitizer is ready. */
#define PLAIN __attribute__((no_sanitize("address", "undefined")))

/* In hsmsign.so?  dladdr() allocates nothing. */
PLAIN static bool is_ours(const void *caller)
{
    Dl_info info;

    return provider != NULL && dladdr(caller, &info) != 0 &&
           info.dli_fname != NULL && strcmp(info.dli_fname, provider) == 0;
}

PLAIN static bool has_pin(const void *block, size_t len)
{
    return memmem(block, len, PART, sizeof(PART) - 1) != NULL;
}

/* len 0: ask malloc. */
PLAIN static void look(const void *caller, const char *function, void *block,
                       size_t len)
{
    if (block == NULL || !is_ours(caller))
        return;
    if (len == 0)
        len = malloc_usable_size(block);
    watch.seen++;
    if (!has_pin(block, len))
        return;
    if (watch.leaked++ == 0)
        (void)snprintf(watch.function, sizeof(watch.function), "%s", function);
}

/* The next definition of name; dlsym() answers void *, POSIX allows it. */
#define NEXT(pointer, name)                                                    \
    do {                                                                       \
        if ((pointer) == NULL)                                                 \
            *(void **)&(pointer) = dlsym(RTLD_NEXT, name);                     \
    } while (0)

#define CALLER __builtin_return_address(0)

/* glibc's and libcrypto's functions, before which ours stand. */
PLAIN void free(void *block)
{
    static void (*next)(void *);
    static bool looking; /* dlsym() frees what an earlier error left */

    look(CALLER, "free", block, 0);
    if (next == NULL && looking)
        return;
    looking = true;
    NEXT(next, "free");
    next(block);
}

PLAIN void *realloc(void *block, size_t size)
{
    static void *(*next)(void *, size_t);

    look(CALLER, "realloc", block, 0);
    NEXT(next, "realloc");
    return next(block, size);
}

PLAIN int munmap(void *block, size_t size)
{
    static int (*next)(void *, size_t);

    look(CALLER, "munmap", block, size);
    NEXT(next, "munmap");
    return next(block, size);
}

void CRYPTO_free(void *block, const char *file, int line)
{
    static void (*next)(void *, const char *, int);

    /* The call may have been a jump; but the file's name is ours too. */
    look(is_ours(file) ? file : CALLER, "CRYPTO_free", block, 0);
    NEXT(next, "CRYPTO_free");
    next(block, file, line);
}

void *CRYPTO_realloc(void *block, size_t size, const char *file, int line)
{
    static void *(*next)(void *, size_t, const char *, int);

    look(is_ours(file) ? file : CALLER, "CRYPTO_realloc", block, 0);
    NEXT(next, "CRYPTO_realloc");
    return next(block, size, file, line);
}

static struct fake *fake;
static char log_path[256];

static int setup(void **state)
{
    char log[300];

    (void)state;
    provider = fixture_required("HSMSIGN_PROVIDER");
    fixture_write(log_path, "log", "");
    (void)snprintf(log, sizeof(log), "file:%s,debug", log_path);
    return setenv("HSMSIGN_LOG", log, 1);
}

static int begin(void **state)
{
    (void)state;
    fake = fake_fixture();
    (void)snprintf(fake->slots[0].pin, sizeof(fake->slots[0].pin), RIGHT);
    memset(&watch, 0, sizeof(watch));
    ERR_clear_error();
    return 0;
}

static int end(void **state)
{
    static const char *const variables[] = { "HSM_PIN", "HSM_PIN_FILE",
                                             "TEST_PIN" };

    (void)state;
    for (size_t i = 0; i < COUNT(variables); i++)
        unsetenv(variables[i]);
    return 0;
}

/* The ways in which a PIN gets in. */
static const struct way {
    const char *option;   /* of the configuration, without what follows */
    const char *variable; /* of the environment */
    const char *query;    /* of the URI */
    bool file;            /* what follows is the name of a file with the PIN */
    bool ask, wrap;       /* a person types it; the URI is in a PEM file */
    bool parameter;       /* the program gives it to OSSL_STORE_open_ex() */
} ways[] = {
    { .query = "?pin-value=" },
    { .query = "?pin-source=file:", .file = true },
    { .query = "?pin-source=", .file = true },
    { .option = "pkcs11-module-token-pin = " },
    { .option = "pkcs11-module-token-pin = file:", .file = true },
    { .option = "pkcs11-module-token-pin = env:TEST_PIN\n#",
      .variable = "TEST_PIN" },
    { .variable = "HSM_PIN" },
    { .variable = "HSM_PIN_FILE", .file = true },
    { .ask = true },
    { .query = "?pin-value=", .wrap = true },
    { .ask = true, .wrap = true },
    { .parameter = true },
};

static const char *typed; /* by the person who is asked */
static char *parameter;   /* NULL: none */

static int type_pin(char *buf, int size, int rwflag, void *arg)
{
    (void)rwflag;
    (void)arg;
    return snprintf(buf, (size_t)size, "%s", typed);
}

static EVP_PKEY *load_by_store(OSSL_LIB_CTX *ctx, const char *uri, bool ask)
{
    UI_METHOD *method =
        ask ? UI_UTIL_wrap_read_pem_callback(type_pin, 0) : NULL;
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string("pin", parameter,
                                                             0),
                            OSSL_PARAM_construct_end() };
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(uri, ctx, NULL, method, NULL,
                           parameter != NULL ? params : NULL, NULL, NULL);
    OSSL_STORE_INFO *info = OSSL_STORE_load(store);
    EVP_PKEY *key = info != NULL ? OSSL_STORE_INFO_get1_PKEY(info) : NULL;

    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    UI_destroy_method(method);
    return key;
}

static EVP_PKEY *load_by_pem(OSSL_LIB_CTX *ctx, const char *uri, bool ask)
{
    struct der der;
    BIO *bio = NULL;
    EVP_PKEY *key = NULL;

    wrap_good(&der, uri);
    bio = pem(LABEL, &der);
    key = PEM_read_bio_PrivateKey_ex(bio, NULL, ask ? type_pin : NULL, NULL,
                                     ctx, NULL);
    BIO_free(bio);
    return key;
}

/* Give pin in that way to a new context. */
static OSSL_LIB_CTX *give(const struct way *way, const char *pin, char uri[512])
{
    char path[256], option[512] = "";
    const char *value = pin;

    if (way->file) {
        fixture_write(path, "pin", pin);
        value = path;
    }
    typed = pin;
    if (way->variable != NULL)
        setenv(way->variable, value, 1);
    if (way->option != NULL)
        (void)snprintf(option, sizeof(option), "%s%s\n", way->option, value);
    (void)snprintf(uri, 512, FAKE_URI "p256%s%s",
                   way->query != NULL ? way->query : "",
                   way->query != NULL ? value : "");
    return fixture_module(fixture_required("HSMSIGN_FAKE"), option);
}

static EVP_PKEY *load(const struct way *way, OSSL_LIB_CTX *ctx, const char *uri)
{
    EVP_PKEY *key = NULL;

    if (way->wrap)
        return load_by_pem(ctx, uri, way->ask);
    parameter = way->parameter ? (char *)typed : NULL;
    key = load_by_store(ctx, uri, way->ask);
    parameter = NULL;
    return key;
}

static void assert_nothing_leaked(const char *what)
{
    assert_in_range(watch.seen, 5, 100000);
    if (watch.leaked != 0)
        fail_msg("%s: %lu blocks with the PIN, the first by %s", what,
                 watch.leaked, watch.function);
}

static void assert_log_has_no_pin(void)
{
    static char text[1 << 20];
    FILE *log = fopen(log_path, "r");
    size_t len = 0;

    assert_non_null(log);
    len = fread(text, 1, sizeof(text), log);
    (void)fclose(log);
    assert_in_range(len, 100, sizeof(text) - 1);
    assert_non_null(memmem(text, len, "C_Login", 7));
    assert_false(has_pin(text, len));
}

static void test_good_pin_is_left_in_no_memory(void **state)
{
    EVP_PKEY *public = fixture_public("p256");

    for (size_t i = 0; i < COUNT(ways); i++) {
        char uri[512];
        OSSL_LIB_CTX *ctx = NULL;
        EVP_PKEY *key = NULL;

        (void)begin(state);
        ctx = give(&ways[i], RIGHT, uri);
        key = load(&ways[i], ctx, uri);
        if (key == NULL)
            ERR_print_errors_fp(stderr);
        assert_non_null(key);
        assert_true(fixture_signs(ctx, key, public));
        /* The kept PIN logs in again. */
        fake_lose(fake, FAKE_SESSIONS | FAKE_LOGIN | FAKE_HANDLES);
        assert_true(fixture_signs(ctx, key, public));
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
        assert_nothing_leaked(uri);
        (void)end(state);
    }
    EVP_PKEY_free(public);
    assert_log_has_no_pin();
}

static void test_wrong_pin_is_left_in_no_memory_and_no_error(void **state)
{
    for (size_t i = 0; i < COUNT(ways); i++) {
        struct fixture_errors errors;
        char uri[512];
        OSSL_LIB_CTX *ctx = NULL;

        (void)begin(state);
        ctx = give(&ways[i], WRONG, uri);
        for (int n = 0; n < 2; n++) {
            assert_null(load(&ways[i], ctx, uri));
            fixture_take_errors("hsmsign", &errors);
            assert_int_equal(errors.ours, 1);
            assert_string_equal(errors.reason, "the PIN is wrong");
            assert_false(has_pin(errors.all, sizeof(errors.all)));
        }
        OSSL_LIB_CTX_free(ctx);
        assert_int_equal(fake_count(fake, "C_Login"), 1);
        assert_nothing_leaked(uri);
        (void)end(state);
    }
    assert_log_has_no_pin();
}

/* URIs that fail before, and after, the PIN is read. */
static void test_uri_that_fails_leaves_no_pin(void **state)
{
    static const char *const uris[] = {
        FAKE_URI "p256?pin-value=" RIGHT "&pin-value=" RIGHT,
        FAKE_URI "p256?pin-value=" RIGHT "&tokn=x",
        FAKE_URI "p256?pin-value=" RIGHT "%zz",
        FAKE_URI "p256?pin-value=" RIGHT "&pin-source=file:/x",
        FAKE_URI "p256?pin-value=%5awoelf-" PART "%2djagen-Viktor;x",
        FAKE_URI "p256;pin-value=" RIGHT,
        FAKE_URI "p256?pin-source=" RIGHT,
        FAKE_URI "nope?pin-value=" RIGHT,
        FAKE_URI "p256;type=data?pin-value=" RIGHT,
        FAKE_URI "p256?pin-value=" RIGHT "&module-path=/x",
        "pkcs11:token=nope?pin-value=" RIGHT,
    };
    OSSL_LIB_CTX *ctx = fixture_module(fixture_required("HSMSIGN_FAKE"), "");

    (void)state;
    for (size_t i = 0; i < 2 * COUNT(uris); i++) {
        const char *uri = uris[i / 2];
        struct fixture_errors errors;

        assert_null(i % 2 == 0 ? load_by_store(ctx, uri, false)
                               : load_by_pem(ctx, uri, false));
        fixture_take_errors("hsmsign", &errors);
        assert_in_range(errors.ours, 1, 3);
        assert_false(has_pin(errors.all, sizeof(errors.all)));
        assert_nothing_leaked(uri);
    }
    OSSL_LIB_CTX_free(ctx);
    assert_nothing_leaked("URIs");
}

/* The file is read once more to look for misspelt options. */
static void test_search_for_misspelt_options_leaves_no_pin(void **state)
{
    char path[256];
    OSSL_LIB_CTX *ctx = fixture_module(fixture_required("HSMSIGN_FAKE"), "");

    (void)state;
    fixture_write(path, "openssl.cnf",
                  "openssl_conf = init\n[init]\nproviders = providers\n"
                  "[providers]\nhsmsign = ours\n"
                  "[ours]\npkcs11-module-token-pin = " RIGHT "\n"
                  "pkcs11-module-token-pn = " RIGHT "\n");
    setenv("OPENSSL_CONF", path, 1);
    assert_null(fixture_load(ctx, FAKE_URI "p256"));
    setenv("OPENSSL_CONF", "/dev/null", 1);
    fixture_assert_error(0, "the configuration is wrong",
                         "pkcs11-module-token-pn", NULL);
    OSSL_LIB_CTX_free(ctx);
    assert_nothing_leaked("configuration file");
}

/* What is no PIN is freed as it is: the watch sees it, by each function. */
static void test_watch_sees_what_is_freed(void **state)
{
    OSSL_LIB_CTX *ctx =
        fixture_module(fixture_required("HSMSIGN_FAKE"),
                       "hsmsign-public-file = /nonexistent/" PART "\n");

    (void)state;
    assert_int_equal(watch.leaked, 0);
    OSSL_LIB_CTX_free(ctx);
    assert_in_range(watch.leaked, 1, 10);
    assert_string_equal(watch.function, "CRYPTO_free");
    (void)begin(NULL);
    ctx = fixture_module(fixture_required("HSMSIGN_FAKE"), "");
    assert_null(fixture_load(ctx, FAKE_URI PART "?pin-value=1"));
    OSSL_LIB_CTX_free(ctx);
    assert_in_range(watch.leaked, 1, 10);
    assert_string_equal(watch.function, "free");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_watch_sees_what_is_freed),
        TEST(test_good_pin_is_left_in_no_memory),
        TEST(test_wrong_pin_is_left_in_no_memory_and_no_error),
        TEST(test_uri_that_fails_leaves_no_pin),
        TEST(test_search_for_misspelt_options_leaves_no_pin),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/pin_memory", tests, setup,
                                       NULL);
}
