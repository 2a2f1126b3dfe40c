/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   bench CONTENDER ALGORITHM WHERE PUBLIC
 *
 * CONTENDER and WHERE as in raw.c, evp.c, floor.c; ALGORITHM as below; PUBLIC
 * is the file of the public key.  One signature is made and verified, "ready"
 * printed; then each line on stdin is a command, and answered by a line:
 *
 *   run THREADS SECONDS MAX   sign; see bench_run()
 *   document MEGABYTES        seconds for a document, by updates of 64 KB
 *   memory                    the process' peak of resident memory, in KB
 */
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "bench.h"

const unsigned char bench_message[BENCH_MESSAGE] = "a document";

unsigned char bench_info[51] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                 0x01, 0x05, 0x00, 0x04, 0x20 };

static const struct bench_alg algs[] = {
    { "rsa", CKM_RSA_PKCS, false, false },
    { "pss", CKM_RSA_PKCS_PSS, true, false },
    { "ec", CKM_ECDSA, false, true },
};

static const struct contender *const contenders[] = { &bench_raw, &bench_evp,
                                                      &bench_floor };

/* RFC 3279, 2.2.3: the token's r||s as others have it. */
static size_t as_sequence(unsigned char *sig, size_t len)
{
    unsigned char *out = sig;
    ECDSA_SIG *ecdsa = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(sig, (int)len / 2, NULL);
    BIGNUM *s = BN_bin2bn(sig + len / 2, (int)len / 2, NULL);
    int n = ECDSA_SIG_set0(ecdsa, r, s) ? i2d_ECDSA_SIG(ecdsa, &out) : 0;

    ECDSA_SIG_free(ecdsa);
    return n > 0 ? (size_t)n : 0;
}

/* In a context of its own, where no provider but the default one is. */
static bool verify(const struct bench_alg *alg, const char *file,
                   const unsigned char *sig, size_t len)
{
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();
    BIO *bio = BIO_new_file(file, "r");
    EVP_PKEY *key = bio == NULL ? NULL
                                : PEM_read_bio_PUBKEY_ex(bio, NULL, NULL, NULL,
                                                         libctx, NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool good =
        key != NULL && ctx != NULL &&
        EVP_DigestVerifyInit_ex(ctx, &pctx, "SHA256", libctx, NULL, key,
                                NULL) == 1 &&
        (!alg->pss ||
         EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1) &&
        EVP_DigestVerify(ctx, sig, len, bench_message, BENCH_MESSAGE) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    BIO_free(bio);
    OSSL_LIB_CTX_free(libctx);
    return good;
}

static bool first_signature(const struct contender *who,
                            const struct bench_alg *alg, const char *file)
{
    unsigned char sig[BENCH_SIGNATURE_MAX];
    size_t len = 0;
    void *thread = who->begin();
    bool good = thread != NULL && who->sign(thread, sig, &len);

    if (thread != NULL)
        who->end(thread);
    if (good && alg->ecdsa && who->raw_ecdsa)
        len = as_sequence(sig, len);
    if (good && verify(alg, file, sig, len))
        return true;
    fprintf(stderr, "bench: %s: no valid signature\n", who->name);
    return false;
}

static bool document(const struct contender *who, unsigned long megabytes)
{
    static const unsigned char block[1 << 16];
    unsigned char sig[BENCH_SIGNATURE_MAX];
    size_t len = sizeof(sig);
    struct timespec began, ended;
    EVP_MD_CTX *ctx;
    bool good;

    clock_gettime(CLOCK_MONOTONIC, &began);
    ctx = who->document == NULL ? NULL : who->document();
    good = ctx != NULL;
    for (unsigned long i = 0; good && i < megabytes * 16; i++)
        good = EVP_DigestSignUpdate(ctx, block, sizeof(block)) == 1;
    good = good && EVP_DigestSignFinal(ctx, sig, &len) == 1;
    EVP_MD_CTX_free(ctx);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    if (good)
        printf("%.6f\n", (double)(ended.tv_sec - began.tv_sec) +
                             (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
    return good;
}

/* getrusage() would count what the process was before it became this one. */
static bool memory(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    long peak = 0;

    while (status != NULL && fgets(line, sizeof(line), status) != NULL)
        sscanf(line, "VmHWM: %ld", &peak);
    if (status != NULL)
        fclose(status);
    printf("%ld\n", peak);
    return peak > 0;
}

static bool command(const struct contender *who, const char *line)
{
    unsigned long n;
    double seconds;
    int threads;

    if (sscanf(line, "run %d %lf %lu", &threads, &seconds, &n) == 3)
        return bench_run(who, threads, seconds, n);
    if (sscanf(line, "document %lu", &n) == 1)
        return document(who, n);
    return strcmp(line, "memory\n") == 0 && memory();
}

int main(int argc, char **argv)
{
    const struct contender *who = NULL;
    const struct bench_alg *alg = NULL;
    char line[256];

    for (size_t i = 0; argc == 5 && i < 3; i++) {
        if (strcmp(contenders[i]->name, argv[1]) == 0)
            who = contenders[i];
        if (strcmp(algs[i].name, argv[2]) == 0)
            alg = &algs[i];
    }
    if (who == NULL || alg == NULL) {
        fprintf(stderr, "usage: bench raw|evp|floor rsa|pss|ec WHERE PUBLIC\n");
        return 2;
    }
    if (EVP_Digest(bench_message, BENCH_MESSAGE, bench_info + BENCH_INFO_PREFIX,
                   NULL, EVP_sha256(), NULL) != 1 ||
        !who->open(alg, argv[3]) || !first_signature(who, alg, argv[4]))
        return 1;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (!command(who, line)) {
            fprintf(stderr, "bench: %s: failed: %s", who->name, line);
            return 1;
        }
        fflush(stdout);
    }
    return 0;
}
