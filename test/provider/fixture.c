/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const unsigned char fixture_message[] = "Rechnung Nr. 4711 ueber 1.200 Euro";
const size_t fixture_message_len = sizeof(fixture_message) - 1;

bool fixture_is_openssl(unsigned major, unsigned minor)
{
    unsigned running = OPENSSL_version_major();

    return running > major ||
           (running == major && OPENSSL_version_minor() >= minor);
}

void fixture_begin(void)
{
    static const char *const not_ours[] = { "HSM_MODULE", "HSM_PIN",
                                            "HSM_PIN_FILE", "HSMSIGN_LOG" };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    for (size_t i = 0; i < COUNT(not_ours); i++)
        unsetenv(not_ours[i]);
    setenv("OPENSSL_CONF", "/dev/null", 1);
}

const char *fixture_required(const char *name)
{
    const char *value = getenv(name);

    if (value == NULL || *value == '\0')
        fail_msg("the environment lacks %s", name);
    return value;
}

int fixture_skip(const struct CMUnitTest *tests, size_t n, const char *why)
{
    (void)printf("1..%zu\n", n);
    for (size_t i = 0; i < n; i++)
        (void)printf("ok %zu - %s # SKIP %s\n", i + 1, tests[i].name, why);
    return 0;
}

/* 3.0 has no OSSL_PROVIDER_load_ex: options come from a configuration only. */
OSSL_LIB_CTX *fixture_configured(const char *text)
{
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
    BIO *bio = BIO_new(BIO_s_mem());
    CONF *conf = NCONF_new_ex(ctx, NULL);
    long line = 0;

    assert_non_null(ctx);
    assert_non_null(bio);
    assert_non_null(conf);
    OPENSSL_load_builtin_modules();
    assert_true(BIO_puts(bio, text) > 0);
    assert_true(NCONF_load_bio(conf, bio, &line) > 0);
    assert_true(CONF_modules_load(conf, NULL, 0) > 0);
    NCONF_free(conf);
    BIO_free(bio);
    return ctx;
}

OSSL_LIB_CTX *fixture_context(const char *name, const char *options)
{
    char text[8192];
    OSSL_LIB_CTX *ctx = NULL;
    int len =
        snprintf(text, sizeof(text),
                 "openssl_conf = init\n"
                 "[init]\nproviders = providers\n"
                 "[providers]\ndefault = default_section\n%s = our_section\n"
                 "[default_section]\nactivate = 1\n"
                 "[our_section]\nmodule = %s\nactivate = 1\n%s\n",
                 name, fixture_required("HSMSIGN_PROVIDER"), options);

    assert_in_range(len, 1, sizeof(text) - 1);
    ctx = fixture_configured(text);
    assert_int_equal(OSSL_PROVIDER_available(ctx, name), 1);
    return ctx;
}

OSSL_LIB_CTX *fixture_module(const char *module, const char *options)
{
    char all[4096];
    int len = snprintf(all, sizeof(all), "pkcs11-module-path = %s\n%s", module,
                       options);

    assert_in_range(len, 1, sizeof(all) - 1);
    return fixture_context("hsmsign", all);
}

OSSL_LIB_CTX *fixture_softhsm(const char *options)
{
    fixture_copy_token();
    return fixture_module(fixture_required("SOFTHSM2_MODULE"), options);
}

EVP_PKEY *fixture_load(OSSL_LIB_CTX *ctx, const char *uri)
{
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(uri, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
    OSSL_STORE_INFO *info = NULL;
    EVP_PKEY *key = NULL;

    if (store == NULL)
        return NULL;
    if (OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY))
        info = OSSL_STORE_load(store);
    if (info != NULL)
        key = OSSL_STORE_INFO_get1_PKEY(info);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    return key;
}

EVP_PKEY *fixture_key(OSSL_LIB_CTX *ctx, const char *name)
{
    char uri[256];
    EVP_PKEY *key = NULL;

    (void)snprintf(uri, sizeof(uri), FIXTURE_URI "%s", name);
    key = fixture_load(ctx, uri);
    if (key == NULL) {
        ERR_print_errors_fp(stderr);
        fail_msg("%s cannot be loaded", uri);
    }
    return key;
}

static OSSL_LIB_CTX *software;
static OSSL_PROVIDER *software_provider;

static void free_software(void)
{
    (void)OSSL_PROVIDER_unload(software_provider);
    OSSL_LIB_CTX_free(software);
    software = NULL;
}

OSSL_LIB_CTX *fixture_software(void)
{
    if (software == NULL) {
        software = OSSL_LIB_CTX_new();
        assert_non_null(software);
        software_provider = OSSL_PROVIDER_load(software, "default");
        assert_non_null(software_provider);
        assert_int_equal(atexit(free_software), 0);
    }
    return software;
}

void fixture_path(char *path, size_t size, const char *name, const char *end)
{
    int len = snprintf(path, size, "%s/%s%s", fixture_required("HSMSIGN_TOKEN"),
                       name, end);

    assert_in_range(len, 1, size - 1);
}

static BIO *open_file(const char *name, const char *end)
{
    char path[4096];
    BIO *bio = NULL;

    fixture_path(path, sizeof(path), name, end);
    bio = BIO_new_file(path, "r");
    if (bio == NULL)
        fail_msg("cannot open %s", path);
    return bio;
}

EVP_PKEY *fixture_twin(const char *name)
{
    BIO *bio = open_file(name, ".key");
    EVP_PKEY *key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL,
                                               fixture_software(), NULL);

    BIO_free(bio);
    assert_non_null(key);
    return key;
}

EVP_PKEY *fixture_public(const char *name)
{
    BIO *bio = open_file(name, ".pub");
    EVP_PKEY *key =
        PEM_read_bio_PUBKEY_ex(bio, NULL, NULL, NULL, fixture_software(), NULL);

    BIO_free(bio);
    assert_non_null(key);
    return key;
}

X509 *fixture_certificate(const char *name)
{
    BIO *bio = open_file(name, ".pem");
    X509 *cert = X509_new_ex(fixture_software(), NULL);

    assert_non_null(cert);
    assert_non_null(PEM_read_bio_X509(bio, &cert, NULL, NULL));
    BIO_free(bio);
    return cert;
}

size_t fixture_sign(OSSL_LIB_CTX *ctx, EVP_PKEY *key, const char *md,
                    unsigned char sig[FIXTURE_SIGNATURE_MAX])
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    size_t len = FIXTURE_SIGNATURE_MAX;

    if (mctx == NULL ||
        EVP_DigestSignInit_ex(mctx, NULL, md, ctx, NULL, key, NULL) <= 0 ||
        EVP_DigestSign(mctx, sig, &len, fixture_message, fixture_message_len) <=
            0)
        len = 0;
    EVP_MD_CTX_free(mctx);
    return len;
}

bool fixture_verify(EVP_PKEY *public, const char *md, const unsigned char *sig,
                    size_t len)
{
    EVP_MD_CTX *mctx = EVP_MD_CTX_new();
    bool ok = mctx != NULL && len > 0 &&
              EVP_DigestVerifyInit_ex(mctx, NULL, md, software, NULL, public,
                                      NULL) > 0 &&
              EVP_DigestVerify(mctx, sig, len, fixture_message,
                               fixture_message_len) == 1;

    EVP_MD_CTX_free(mctx);
    return ok;
}

const char *fixture_digest(EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS") ||
                   EVP_PKEY_is_a(key, "EC")
               ? "SHA256"
               : NULL;
}

bool fixture_signs(OSSL_LIB_CTX *ctx, EVP_PKEY *key, EVP_PKEY *public)
{
    const char *md = fixture_digest(public);
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t len = fixture_sign(ctx, key, md, sig);

    return len > 0 && fixture_verify(public, md, sig, len);
}

static unsigned char message_digest[32];

EVP_PKEY_CTX *fixture_signer(OSSL_LIB_CTX *ctx, EVP_PKEY *key)
{
    EVP_PKEY_CTX *signer = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    size_t len = 0;

    assert_non_null(signer);
    assert_int_equal(EVP_Q_digest(fixture_software(), "SHA256", NULL,
                                  fixture_message, fixture_message_len,
                                  message_digest, &len),
                     1);
    assert_int_equal(EVP_PKEY_sign_init(signer), 1);
    assert_int_equal(EVP_PKEY_CTX_ctrl_str(signer, "digest", "SHA256"), 1);
    return signer;
}

size_t fixture_sign_quietly(EVP_PKEY_CTX *signer,
                            unsigned char sig[FIXTURE_SIGNATURE_MAX])
{
    size_t len = FIXTURE_SIGNATURE_MAX;

    return EVP_PKEY_sign(signer, sig, &len, message_digest,
                         sizeof(message_digest)) > 0
               ? len
               : 0;
}

static void copy(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from != NULL ? from : "");
}

/*
 * After ours, OpenSSL 3.5 and later add that a provider's signature failed
 * (EVP_R_PROVIDER_SIGNATURE_FAILURE, which 3.0 does not know).
 */
static bool is_only_an_echo(const struct fixture_errors *errors,
                            unsigned long code, const char *reason)
{
    return errors->ours > 0 && ERR_GET_LIB(code) == ERR_LIB_EVP &&
           reason != NULL && strcmp(reason, "provider signature failure") == 0;
}

void fixture_take_errors(const char *provider, struct fixture_errors *errors)
{
    const char *file = NULL, *function = NULL, *data = NULL;
    int line = 0, flags = 0;
    unsigned long code = 0;
    size_t used = 0;

    memset(errors, 0, sizeof(*errors));
    while ((code = ERR_get_error_all(&file, &line, &function, &data, &flags)) !=
           0) {
        const char *library = ERR_lib_error_string(code);
        const char *reason = ERR_reason_error_string(code);
        const char *text = (flags & ERR_TXT_STRING) != 0 ? data : "";

        if (is_only_an_echo(errors, code, reason))
            continue;
        errors->count++;
        (void)snprintf(errors->all + used, sizeof(errors->all) - used,
                       "[%s|%s|%s|%s] ", library != NULL ? library : "?",
                       reason != NULL ? reason : "?", function, text);
        used = strlen(errors->all);
        if (library == NULL || strcmp(library, provider) != 0)
            continue;
        if (errors->ours++ > 0)
            continue;
        copy(errors->library, sizeof(errors->library), library);
        copy(errors->reason, sizeof(errors->reason), reason);
        copy(errors->function, sizeof(errors->function), function);
        copy(errors->text, sizeof(errors->text), text);
    }
}

void fixture_assert_error(size_t others, const char *reason, ...)
{
    struct fixture_errors errors;
    const char *word = NULL;
    va_list words;

    fixture_take_errors("hsmsign", &errors);
    if (errors.ours != 1 || errors.count > 1 + others)
        fail_msg("expected one error of hsmsign and at most %zu others: %s",
                 others, errors.all);
    if (strcmp(errors.reason, reason) != 0)
        fail_msg("expected \"%s\": %s", reason, errors.all);
    va_start(words, reason);
    while ((word = va_arg(words, const char *)) != NULL) {
        if (strstr(errors.text, word) == NULL)
            fail_msg("\"%s\" is missing: %s", word, errors.all);
    }
    va_end(words);
}

void fixture_assert_no_error(void)
{
    struct fixture_errors errors;

    fixture_take_errors("hsmsign", &errors);
    if (errors.count != 0)
        fail_msg("unexpected: %s", errors.all);
}

int fixture_keep_provider(void **state)
{
    (void)state;
    return dlopen(fixture_required("HSMSIGN_PROVIDER"),
                  RTLD_NOW | RTLD_NODELETE) == NULL;
}

static char directory[64];
static pid_t directory_owner;

static int remove_entry(const char *path, const struct stat *st, int type,
                        struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* A forked child inherits the handler, not the directory. */
static void remove_directory(void)
{
    if (getpid() == directory_owner)
        (void)nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fixture_directory(void)
{
    if (directory[0] == '\0') {
        (void)snprintf(directory, sizeof(directory), "/tmp/hsmsign.XXXXXX");
        assert_non_null(mkdtemp(directory));
        directory_owner = getpid();
        assert_int_equal(atexit(remove_directory), 0);
    }
    return directory;
}

void fixture_write(char path[256], const char *name, const char *text)
{
    FILE *file = NULL;

    (void)snprintf(path, 256, "%s/%s", fixture_directory(), name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fchmod(fileno(file), S_IRUSR | S_IWUSR), 0);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

void fixture_copy_token(void)
{
    static const char copied[] = "HSMSIGN_TEST_TOKEN_IS_A_COPY";
    char from[4096], conf[256], text[400];
    pid_t pid = 0;

    if (getenv(copied) != NULL)
        return;
    (void)fixture_directory();
    fixture_path(from, sizeof(from), "tokens", "");
    pid = fork();
    if (pid == 0) {
        execlp("cp", "cp", "-R", from, fixture_directory(), (char *)NULL);
        _exit(127);
    }
    assert_int_equal(fixture_wait(pid), 0);
    (void)snprintf(text, sizeof(text),
                   "directories.tokendir = %s/tokens\n"
                   "objectstore.backend = file\nlog.level = ERROR\n",
                   fixture_directory());
    fixture_write(conf, "softhsm2.conf", text);
    assert_int_equal(setenv("SOFTHSM2_CONF", conf, 1), 0);
    assert_int_equal(setenv(copied, "1", 1), 0);
}

int fixture_wait(pid_t pid)
{
    static const struct timespec pause = { 0, 20000000 };
    int status = 0;

    for (int i = 0; i < 3000; i++) {
        pid_t done = waitpid(pid, &status, WNOHANG);

        if (done == pid)
            return WIFSIGNALED(status) ? 256 + WTERMSIG(status)
                                       : WEXITSTATUS(status);
        if (done < 0 && errno != EINTR)
            break;
        (void)nanosleep(&pause, NULL);
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    return -1;
}
