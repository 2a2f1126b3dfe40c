/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program with the provider linked in: no openssl.cnf, no module file.
 *
 *     embed MODULE PIN_FILE URI [FILE] > signature
 *
 * signs FILE, or standard input, with SHA-256 and the key that URI names in the
 * PKCS #11 library MODULE.  It does so in a library context of its own, which
 * the rest of a larger program never notices.
 *
 *     cc embed.c $(pkg-config --cflags --libs hsmsign)
 */
#include <stdio.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <hsmsign.h>

/* In quotes, since $ and # mean something there; \ and ' would need a \. */
static const char options[] =
    "openssl_conf = init\n"
    "[init]\nproviders = providers\n"
    "[providers]\ndefault = default_sect\nhsmsign = hsmsign_sect\n"
    "[default_sect]\nactivate = 1\n"
    "[hsmsign_sect]\nactivate = 1\n"
    "pkcs11-module-path = '%s'\npkcs11-module-token-pin = 'file:%s'\n";

/* The order matters: the provider has to be known when the options come. */
static int configure(OSSL_LIB_CTX *ctx, const char *module, const char *pin)
{
    BIO *text = BIO_new(BIO_s_mem());
    CONF *conf = NCONF_new_ex(ctx, NULL);
    int ok = ctx != NULL && text != NULL && conf != NULL &&
             OSSL_PROVIDER_add_builtin(ctx, "hsmsign", hsmsign_provider_init) &&
             BIO_printf(text, options, module, pin) > 0 &&
             NCONF_load_bio(conf, text, NULL) > 0 &&
             CONF_modules_load(conf, NULL, 0) > 0;

    NCONF_free(conf);
    BIO_free(text);
    return ok;
}

static EVP_PKEY *load_key(OSSL_LIB_CTX *ctx, const char *uri)
{
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(uri, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
    OSSL_STORE_INFO *info = NULL;
    EVP_PKEY *key = NULL;

    if (store != NULL && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY))
        info = OSSL_STORE_load(store);
    if (info != NULL)
        key = OSSL_STORE_INFO_get1_PKEY(info);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    return key;
}

static int sign(OSSL_LIB_CTX *ctx, EVP_PKEY *key, BIO *in, FILE *out)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char buf[16384];
    size_t len = sizeof(buf);
    int n = 0, ok;

    ok = md != NULL &&
         EVP_DigestSignInit_ex(md, NULL, "SHA256", ctx, NULL, key, NULL) > 0;
    while (ok && (n = BIO_read(in, buf, (int)sizeof(buf))) > 0)
        ok = EVP_DigestSignUpdate(md, buf, (size_t)n) > 0;
    ok = ok && n == 0 && EVP_DigestSignFinal(md, buf, &len) > 0 &&
         fwrite(buf, 1, len, out) == len && fflush(out) == 0;
    EVP_MD_CTX_free(md);
    return ok;
}

int main(int argc, char **argv)
{
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
    EVP_PKEY *key = NULL;
    BIO *in = NULL;
    int ok = 0;

    if (argc == 4 || argc == 5) {
        in = argc == 5 ? BIO_new_file(argv[4], "rb") : BIO_new_fp(stdin, 0);
        ok = in != NULL && configure(ctx, argv[1], argv[2]) &&
             (key = load_key(ctx, argv[3])) && sign(ctx, key, in, stdout);
    }
    if (!ok)
        (void)fputs("embed: no signature; embed MODULE PIN_FILE URI [FILE]\n",
                    stderr);
    ERR_print_errors_fp(stderr);
    BIO_free(in);
    EVP_PKEY_free(key); /* before its library context */
    OSSL_LIB_CTX_free(ctx);
    return ok ? 0 : 1;
}
