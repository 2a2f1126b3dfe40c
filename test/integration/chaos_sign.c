/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that knows nothing of hsmsign: sixteen threads sign until standard
 * input ends, whatever happens to the token, and AFTER times more, for
 * chaos.py.
 *
 *     chaos_sign AFTER (URI PUBLIC_KEY_FILE)...
 *
 * Thread n has the key n modulo their number.  Each signature that is returned
 * is verified with the public key of the file, by the default provider.  For
 * each a line on standard output: "during" or "after", thread, begin and end in
 * microseconds of CLOCK_MONOTONIC, and "ok", "wrong", or "failed" and why.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "uri_key.h"

enum { THREADS = 16, KEYS_MAX = 4 };

static struct key {
    EVP_PKEY *private_key, *public_key;
} keys[KEYS_MAX];
static int key_count;
static long after;
static atomic_bool chaos_is_over;

static long now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static bool sign(EVP_PKEY *key, const void *data, size_t len,
                 unsigned char *sig, size_t *sig_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok =
        ctx != NULL &&
        EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) > 0 &&
        EVP_DigestSign(ctx, sig, sig_len, data, len) > 0;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool verify(EVP_PKEY *key, const void *data, size_t len,
                   const unsigned char *sig, size_t sig_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL &&
              EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL,
                                      "provider=default", key, NULL) > 0 &&
              EVP_DigestVerify(ctx, sig, sig_len, data, len) > 0;

    EVP_MD_CTX_free(ctx);
    return ok;
}

/* The first error: the reason, which is raised where it is known. */
static void why(char *text, size_t size)
{
    const char *data = "the error queue is empty";
    int flags = ERR_TXT_STRING;

    if (ERR_get_error_all(NULL, NULL, NULL, &data, &flags) != 0 &&
        ((flags & ERR_TXT_STRING) == 0 || *data == '\0'))
        data = "an error without a text";
    (void)snprintf(text, size, "%s", data);
    ERR_clear_error();
}

static void sign_once(int thread, long number, bool over)
{
    const struct key *key = &keys[thread % key_count];
    long data[] = { thread, number }, begin = now(), end = 0;
    unsigned char sig[1024];
    size_t sig_len = sizeof(sig);
    bool is_signed = sign(key->private_key, data, sizeof(data), sig, &sig_len);
    const char *outcome = "failed ";
    char text[512] = "";

    end = now();
    if (!is_signed)
        why(text, sizeof(text));
    else if (verify(key->public_key, data, sizeof(data), sig, sig_len))
        outcome = "ok";
    else
        outcome = "wrong";
    (void)printf("%s %d %ld %ld %s%s\n", over ? "after" : "during", thread,
                 begin, end, outcome, text);
}

static void *sign_all_the_time(void *arg)
{
    int thread = *(int *)arg;
    long number = 0;

    while (!atomic_load(&chaos_is_over))
        sign_once(thread, number++, false);
    for (long i = 0; i < after; i++)
        sign_once(thread, number++, true);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    int number[THREADS];
    char byte = 0;

    if (argc < 4 || argc % 2 != 0 || argc > 2 + 2 * KEYS_MAX)
        return 2;
    /* As README tells programs whose module has a socket. */
    (void)signal(SIGPIPE, SIG_IGN);
    /* What says why threads are stuck is to be seen while they are. */
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    after = strtol(argv[1], NULL, 10);
    for (key_count = 0; argc > 2 + 2 * key_count; key_count++) {
        struct key *key = &keys[key_count];

        key->private_key = load_private(argv[2 + 2 * key_count]);
        key->public_key = load_public(argv[3 + 2 * key_count]);
        if (key->private_key == NULL || key->public_key == NULL) {
            ERR_print_errors_fp(stderr);
            return 1;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        number[i] = i;
        if (pthread_create(&thread[i], NULL, sign_all_the_time, &number[i]) !=
            0)
            return 1;
    }
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
    atomic_store(&chaos_is_over, true);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(thread[i], NULL);
    for (int i = 0; i < key_count; i++) {
        EVP_PKEY_free(keys[i].private_key);
        EVP_PKEY_free(keys[i].public_key);
    }
    return 0;
}
