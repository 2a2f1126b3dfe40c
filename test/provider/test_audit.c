/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider/audit: one whole line for each signature, whoever else writes to
 * the file, and no signature without it, unless the policy says so.
 */
#include "fake_fixture.h"
#include <openssl/err.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#define REASON "the audit log cannot be written"

/* A line, taken apart by its very form. */
struct line {
    char time[32], key[400], mechanism[32], digest[32], sha256[80], result[64];
    unsigned long whole_ms, part_ms;
    unsigned retries;
    long pid;
};

static bool take_apart(const char *text, struct line *line)
{
    int end = -1;

    return sscanf(text,
                  "{\"time\":\"%31[-0-9T:.Z]\",\"key\":\"%399[^\"]\","
                  "\"mechanism\":\"%31[^\"]\",\"digest\":%31[^,],"
                  "\"data_sha256\":\"%79[0-9a-f]\",\"result\":\"%63[^\"]\","
                  "\"latency_ms\":%lu.%3lu,\"retries\":%u,\"pid\":%ld}\n%n",
                  line->time, line->key, line->mechanism, line->digest,
                  line->sha256, line->result, &line->whole_ms, &line->part_ms,
                  &line->retries, &line->pid, &end) == 10 &&
           end == (int)strlen(text) && strlen(line->time) == 24 &&
           strlen(line->sha256) == 64;
}

static void log_path(char path[256])
{
    fixture_write(path, "audit", "");
    assert_int_equal(unlink(path), 0);
}

static OSSL_LIB_CTX *logging(const char *path, const char *policy)
{
    char option[400];

    (void)snprintf(option, sizeof(option), "hsmsign-audit = file:%s%s\n", path,
                   policy);
    return fake_context(option);
}

/* All lines of the file have the form; *last receives the last. */
static size_t read_lines(const char *path, struct line *last)
{
    FILE *file = fopen(path, "r");
    char text[2048];
    size_t n = 0;

    if (file == NULL)
        return 0;
    while (fgets(text, sizeof(text), file) != NULL) {
        if (!take_apart(text, last))
            fail_msg("not a line of the log: %s", text);
        n++;
    }
    assert_int_equal(fclose(file), 0);
    return n;
}

/* The hash of the digest of the message: the message is nowhere. */
static const char *expected_hash(void)
{
    static char hex[65];
    unsigned char digest[32], hash[32];
    size_t len = 0;

    assert_int_equal(EVP_Q_digest(fixture_software(), "SHA256", NULL,
                                  fixture_message, fixture_message_len, digest,
                                  &len),
                     1);
    assert_int_equal(EVP_Q_digest(fixture_software(), "SHA256", NULL, digest,
                                  len, hash, &len),
                     1);
    for (size_t i = 0; i < len; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    return hex;
}

static void test_line_says_what_was_signed_with_what_and_how(void **state)
{
    static const struct {
        const char *key, *function;
        CK_RV rv; /* of the first call of function */
        const char *mechanism, *result;
        unsigned retries;
    } rows[] = {
        { "rsa2048", NULL, CKR_OK, "CKM_RSA_PKCS", "ok", 0 },
        { "p256", NULL, CKR_OK, "CKM_ECDSA", "ok", 0 },
        { "p256", "C_SignInit", CKR_SESSION_HANDLE_INVALID, "CKM_ECDSA", "ok",
          1 },
        { "p256", "C_Sign", CKR_DEVICE_ERROR, "CKM_ECDSA", "ok", 1 },
        { "p256", "C_Sign", CKR_DATA_LEN_RANGE, "CKM_ECDSA",
          "CKR_DATA_LEN_RANGE", 0 },
        { "p256", "C_Sign", CKR_VENDOR_DEFINED | 0x1234, "CKM_ECDSA",
          "0x80001234", 0 },
    };
    struct fake *fake = fake_fixture();
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    OSSL_LIB_CTX *ctx = NULL;
    struct line line;
    struct stat st;
    char path[256];

    (void)state;
    log_path(path);
    ctx = logging(path, "");
    for (size_t i = 0; i < COUNT(rows); i++) {
        EVP_PKEY *key = fake_key(ctx, rows[i].key);
        char name[64];

        if (rows[i].function != NULL)
            fake_fail(fake, rows[i].function, rows[i].rv, 1, 1);
        if ((fixture_sign(ctx, key, "SHA256", sig) > 0) !=
            (strcmp(rows[i].result, "ok") == 0)) {
            ERR_print_errors_fp(stderr);
            fail_msg("row %zu", i);
        }
        ERR_clear_error();
        assert_int_equal(read_lines(path, &line), i + 1);
        (void)snprintf(name, sizeof(name), "object=%s;", rows[i].key);
        assert_non_null(strstr(line.key, name));
        assert_null(strstr(line.key, "pin"));
        assert_string_equal(line.mechanism, rows[i].mechanism);
        assert_string_equal(line.digest, "\"SHA2-256\"");
        assert_string_equal(line.sha256, expected_hash());
        assert_string_equal(line.result, rows[i].result);
        assert_int_equal(line.retries, rows[i].retries);
        assert_int_equal(line.pid, getpid());
        fake_fail_none(fake);
        EVP_PKEY_free(key);
    }
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    OSSL_LIB_CTX_free(ctx);
}

/* PSS that was padded here, and a message without a digest. */
static void test_line_is_right_for_other_kinds_of_signature(void **state)
{
    unsigned char sig[FIXTURE_SIGNATURE_MAX], in[32] = { 0 };
    size_t len = sizeof(sig);
    OSSL_LIB_CTX *ctx = NULL;
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *pctx = NULL;
    struct line line;
    char path[256], option[400];

    (void)state;
    log_path(path);
    (void)snprintf(option, sizeof(option),
                   FIXTURE_PIN "hsmsign-audit = file:%s,refuse\n", path);
    ctx = fixture_softhsm(option);
    key = fixture_key(ctx, "ed25519");
    assert_int_equal(fixture_sign(ctx, key, NULL, sig), 64);
    assert_int_equal(read_lines(path, &line), 1);
    assert_string_equal(line.mechanism, "CKM_EDDSA");
    assert_string_equal(line.digest, "null");
    EVP_PKEY_free(key);
    key = fixture_key(ctx, "rsa2048");
    pctx = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    assert_int_equal(EVP_PKEY_sign_init(pctx), 1);
    assert_int_equal(EVP_PKEY_CTX_ctrl_str(pctx, "rsa_padding_mode", "pss"), 1);
    assert_int_equal(EVP_PKEY_CTX_ctrl_str(pctx, "digest", "SHA3-256"), 1);
    assert_int_equal(EVP_PKEY_sign(pctx, sig, &len, in, sizeof(in)), 1);
    assert_int_equal(read_lines(path, &line), 2);
    assert_string_equal(line.mechanism, "CKM_RSA_X_509");
    assert_string_equal(line.digest, "\"SHA3-256\"");
    EVP_PKEY_CTX_free(pctx);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

static void test_label_cannot_break_the_line(void **state)
{
    static const char label[] = "a\"},\\\n\x01\xC3\xBC";
    struct fake *fake = fake_fixture();
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    OSSL_LIB_CTX *ctx = NULL;
    EVP_PKEY *key = NULL;
    struct line line;
    char path[256];

    (void)state;
    log_path(path);
    for (size_t i = 0; i < FAKE_MAX_OBJECTS; i++) {
        const CK_ATTRIBUTE *id = fake->objects[i].present
                                     ? fake_attribute(&fake->objects[i], CKA_ID)
                                     : NULL;

        if (id != NULL && id->ulValueLen == 4 &&
            memcmp(id->pValue, "p256", 4) == 0)
            fake_set_attribute(fake, fake->objects[i].number, CKA_LABEL, label,
                               sizeof(label) - 1);
    }
    ctx = logging(path, "");
    key = fixture_load(ctx, "pkcs11:token=fake;id=p256");
    assert_non_null(key);
    /* The fake does not know the key by that label: it refuses. */
    assert_int_equal(fixture_sign(ctx, key, "SHA256", sig), 0);
    ERR_clear_error();
    assert_int_equal(read_lines(path, &line), 1);
    assert_non_null(strstr(line.key, "object=a%22%7D,%5C%0A%01%C3%BC;"));
    assert_string_equal(line.result, "CKR_GENERAL_ERROR");
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

static void test_policy_decides_when_the_log_cannot_be_written(void **state)
{
    static const struct {
        const char *path, *policy;
        bool released;
    } rows[] = {
        { "/dev/full", "", false },
        { "/dev/full", ",refuse", false },
        { "/dev/full", ",warn", true },
        { "/nonexistent/audit", "", false },
        { "/nonexistent/audit", ",warn", true },
    };
    static const unsigned char zero[FIXTURE_SIGNATURE_MAX];
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    struct fake *fake = NULL;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        OSSL_LIB_CTX *ctx = NULL;
        EVP_PKEY *key = NULL;

        fake = fake_fixture();
        ctx = logging(rows[i].path, rows[i].policy);
        key = fake_key(ctx, "p256");
        memset(sig, 0x5a, sizeof(sig));
        assert_int_equal(fixture_sign(ctx, key, "SHA256", sig) > 0,
                         rows[i].released);
        if (!rows[i].released) {
            fixture_assert_error(0, REASON, "hsmsign-audit", rows[i].path,
                                 i < 3 ? "No space left on device"
                                       : "No such file or directory",
                                 NULL);
            assert_memory_equal(sig, zero, sizeof(sig));
        }
        fixture_assert_no_error();
        /* What failed before stays the reason. */
        fake_fail(fake, "C_Sign", CKR_DATA_LEN_RANGE, 1, 1);
        assert_int_equal(fixture_sign(ctx, key, "SHA256", sig), 0);
        fixture_assert_error(0, "the data's length does not fit the key",
                             "C_Sign: CKR_DATA_LEN_RANGE", NULL);
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
    }
}

/* A disk that is full in the midst of a line, and then is not. */
static void test_line_behind_one_that_was_cut_is_whole(void **state)
{
    struct rlimit old, small;
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    OSSL_LIB_CTX *ctx = NULL;
    EVP_PKEY *key = NULL;
    struct line line;
    char path[256], text[2048];
    size_t good = 0, cut = 0;
    FILE *file = NULL;

    (void)state;
    (void)fake_fixture();
    log_path(path);
    ctx = logging(path, "");
    key = fake_key(ctx, "p256");
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 500;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_true(fixture_sign(ctx, key, "SHA256", sig) > 0);
    assert_int_equal(fixture_sign(ctx, key, "SHA256", sig), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    fixture_assert_error(0, REASON, "No space left on device", path, NULL);
    assert_true(fixture_sign(ctx, key, "SHA256", sig) > 0);
    assert_true(fixture_sign(ctx, key, "SHA256", sig) > 0);
    file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(text, sizeof(text), file) != NULL)
        *(take_apart(text, &line) ? &good : &cut) += 1;
    assert_int_equal(fclose(file), 0);
    assert_int_equal(good, 3);
    assert_int_equal(cut, 1);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

static void test_file_that_was_renamed_is_made_anew(void **state)
{
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    OSSL_LIB_CTX *ctx = NULL;
    EVP_PKEY *key = NULL;
    struct line line;
    char path[256], old[300];

    (void)state;
    (void)fake_fixture();
    log_path(path);
    (void)snprintf(old, sizeof(old), "%s.1", path);
    ctx = logging(path, "");
    key = fake_key(ctx, "p256");
    assert_true(fixture_sign(ctx, key, "SHA256", sig) > 0);
    assert_int_equal(rename(path, old), 0);
    assert_true(fixture_sign(ctx, key, "SHA256", sig) > 0);
    assert_int_equal(read_lines(path, &line), 1);
    assert_int_equal(read_lines(old, &line), 1);
    assert_int_equal(unlink(old), 0);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

enum { THREADS = 8, ROUNDS = 40 };

struct work {
    OSSL_LIB_CTX *ctx;
    EVP_PKEY *key;
};

static void *sign_many(void *arg)
{
    const struct work *work = arg;
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    size_t bad = 0;

    for (int i = 0; i < ROUNDS; i++)
        bad += fixture_sign(work->ctx, work->key, "SHA256", sig) == 0;
    return bad == 0 ? NULL : arg;
}

/* Threads, and a process that writes to the same file. */
static void test_threads_and_children_share_the_file(void **state)
{
    struct work work = { 0 };
    pthread_t threads[THREADS];
    struct line line;
    char path[256];
    pid_t pid = -1;

    (void)state;
    (void)fake_fixture();
    log_path(path);
    work.ctx = logging(path, "");
    work.key = fake_key(work.ctx, "p256");
    pid = fork();
    if (pid == 0)
        _exit(sign_many(&work) == NULL ? 0 : 1);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_many, &work),
                         0);
    for (int i = 0; i < THREADS; i++) {
        void *bad = &work;

        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    assert_int_equal(fixture_wait(pid), 0);
    assert_int_equal(read_lines(path, &line), (THREADS + 1) * ROUNDS);
    EVP_PKEY_free(work.key);
    OSSL_LIB_CTX_free(work.ctx);
}

/* Instead of libc's, which hsmsign.so calls under either name. */
static char logged[2048];
static int logged_priority;

static void keep(int priority, const char *format, va_list args)
{
    logged_priority = priority;
    (void)vsnprintf(logged, sizeof(logged), format, args);
}

__attribute__((format(printf, 2, 3))) void syslog(int priority,
                                                  const char *format, ...)
{
    va_list args;

    va_start(args, format);
    keep(priority, format, args);
    va_end(args);
}

void __syslog_chk(int priority, int flag, const char *format, ...);
__attribute__((format(printf, 3, 4))) void __syslog_chk(int priority, int flag,
                                                        const char *format, ...)
{
    va_list args;

    (void)flag;
    va_start(args, format);
    keep(priority, format, args);
    va_end(args);
}

static void test_syslog_gets_the_same_line(void **state)
{
    unsigned char sig[FIXTURE_SIGNATURE_MAX];
    OSSL_LIB_CTX *ctx = NULL;
    EVP_PKEY *key = NULL;
    struct line line;

    (void)state;
    (void)fake_fixture();
    ctx = fake_context("hsmsign-audit = syslog,warn\n");
    key = fake_key(ctx, "p256");
    assert_true(fixture_sign(ctx, key, "SHA256", sig) > 0);
    (void)strcat(logged, "\n");
    assert_true(take_apart(logged, &line));
    assert_string_equal(line.result, "ok");
    assert_int_equal(logged_priority, LOG_USER | LOG_NOTICE);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

static void test_value_that_names_no_log_is_refused(void **state)
{
    static const char *const values[] = {
        "",          "stderr",       "file:",          "file:relative",
        "syslog,on", "file:/a,loud", "syslog,refuse,", "/var/log/audit",
    };

    (void)state;
    (void)fake_fixture();
    for (size_t i = 0; i < COUNT(values); i++) {
        char option[80];
        OSSL_LIB_CTX *ctx = NULL;

        (void)snprintf(option, sizeof(option), "hsmsign-audit = %s\n",
                       values[i]);
        ctx = fake_context(option);
        assert_null(fixture_load(ctx, FAKE_URI "p256"));
        fixture_assert_error(0, "the configuration is wrong", "hsmsign-audit",
                             "file:/PATH or syslog", NULL);
        OSSL_LIB_CTX_free(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_says_what_was_signed_with_what_and_how),
        cmocka_unit_test(test_line_is_right_for_other_kinds_of_signature),
        cmocka_unit_test(test_label_cannot_break_the_line),
        cmocka_unit_test(test_policy_decides_when_the_log_cannot_be_written),
        cmocka_unit_test(test_line_behind_one_that_was_cut_is_whole),
        cmocka_unit_test(test_file_that_was_renamed_is_made_anew),
        cmocka_unit_test(test_threads_and_children_share_the_file),
        cmocka_unit_test(test_syslog_gets_the_same_line),
        cmocka_unit_test(test_value_that_names_no_log_is_refused),
    };

    fixture_begin();
    return cmocka_run_group_tests_name("provider/audit", tests,
                                       fixture_keep_provider, NULL);
}
