/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that knows nothing of hsmsign: loads a key through OpenSSL's store,
 * signs with it in eight threads; or signs, forks, and signs in the child, and
 * at the same time in the parent (fork) or not any more (child); and ends.
 *
 *     sign_many threads|fork|child URI PUBLIC_KEY_FILE
 *
 * Each signature is verified with the public key of the file, by another
 * provider.  Ends with 0 if all were right, and the child has ended well.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "uri_key.h"

#define THREADS 8
#define TIMES   5

static EVP_PKEY *key, *public_key;

/* Ed25519 takes no digest. */
static const char *digest(void)
{
    return EVP_PKEY_is_a(public_key, "ED25519") ? NULL : "SHA256";
}

static int sign_once(unsigned char *data, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new(), *check = EVP_MD_CTX_new();
    unsigned char sig[1024];
    size_t sig_len = sizeof(sig);
    int ok =
        ctx != NULL && check != NULL &&
        EVP_DigestSignInit_ex(ctx, NULL, digest(), NULL, NULL, key, NULL) > 0 &&
        EVP_DigestSign(ctx, sig, &sig_len, data, len) > 0 &&
        EVP_DigestVerifyInit_ex(check, NULL, digest(), NULL, "provider=default",
                                public_key, NULL) > 0 &&
        EVP_DigestVerify(check, sig, sig_len, data, len) > 0;

    EVP_MD_CTX_free(ctx);
    EVP_MD_CTX_free(check);
    if (!ok)
        ERR_print_errors_fp(stderr);
    return ok;
}

/* Returns NULL if all were right. */
static void *sign_several(void *arg)
{
    unsigned char data[32];

    memset(data, *(unsigned char *)arg, sizeof(data));
    for (int i = 0; i < TIMES; i++) {
        data[0] = (unsigned char)i;
        if (!sign_once(data, sizeof(data)))
            return arg;
    }
    return NULL;
}

static int sign_in_threads(void)
{
    pthread_t thread[THREADS];
    unsigned char number[THREADS];
    int ok = 1;

    for (int i = 0; i < THREADS; i++) {
        number[i] = (unsigned char)i;
        if (pthread_create(&thread[i], NULL, sign_several, &number[i]) != 0)
            return 0;
    }
    for (int i = 0; i < THREADS; i++) {
        void *bad = NULL;

        if (pthread_join(thread[i], &bad) != 0 || bad != NULL)
            ok = 0;
    }
    return ok;
}

/* The child leaves through exit(), as programs do. */
static int sign_after_fork(int in_parent_too)
{
    unsigned char number = 99;
    int status = -1;
    pid_t child;

    if (sign_several(&number) != NULL)
        return 0;
    child = fork();
    if (child < 0)
        return 0;
    if (child == 0) {
        (void)alarm(60);
        exit(sign_several(&number) != NULL);
    }
    if (in_parent_too && sign_several(&number) != NULL)
        return 0;
    if (waitpid(child, &status, 0) != child || status != 0) {
        (void)fprintf(stderr, "the child ended with 0x%x\n", (unsigned)status);
        return 0;
    }
    return 1;
}

int main(int argc, char **argv)
{
    int ok = 0;

    if (argc != 4)
        return 2;
    (void)alarm(120);
    key = load_private(argv[2]);
    public_key = load_public(argv[3]);
    if (key == NULL || public_key == NULL)
        ERR_print_errors_fp(stderr);
    else if (strcmp(argv[1], "threads") == 0)
        ok = sign_in_threads();
    else
        ok = sign_after_fork(strcmp(argv[1], "fork") == 0);
    EVP_PKEY_free(key);
    EVP_PKEY_free(public_key);
    return !ok;
}
