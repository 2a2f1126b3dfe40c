/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign verify: checks what hsmsign sign, or another program, has made.  It
 * needs neither token nor provider, only the public key in a certificate.
 */
#include <stdio.h>
#include <string.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include "hsmsign_tool.h"

enum { FORMAT, IN, SIG, CERT, CA, DIGEST, PSS };

static const struct cli_option options[] = {
    [FORMAT] = { "format", "FORMAT", true, "raw, cms or cades" },
    [IN] = { "in", "FILE", true, "the document; - is standard input" },
    [SIG] = { "sig", "FILE", true, "the signature; - is standard input" },
    [CERT] = { "cert", "FILE", false,
               "the signer's certificate, trusted as it is" },
    [CA] = { "ca", "FILE", false,
             "trusted root certificates (PEM), for cms and cades" },
    [DIGEST] = { "digest", "NAME", false, "raw: sha256 (default), ..." },
    [PSS] = { "pss", NULL, false, "raw: RSA-PSS, salt as long as the digest" },
};

static const struct cli_command command = {
    .name = "verify",
    .usage = "verify --format raw|cms|cades --in FILE --sig FILE\n"
             "           (--cert FILE | --ca FILE) [--digest NAME] [--pss]",
    .about = "Check the signature of a document.",
    .options = options,
    .n_options = sizeof(options) / sizeof(options[0]),
};

/* A raw signature is no longer than its key; 64 KiB are 524,288 bits. */
#define RAW_MAX 65536

struct verify {
    const char *const *option;
    bool raw, cades;
    STACK_OF(X509) * certs; /* of --cert, or of --ca */
    struct input in;
    BIO *sig;
};

static int check_options(struct verify *v)
{
    const char *const *o = v->option;

    v->raw = strcmp(o[FORMAT], "raw") == 0;
    v->cades = strcmp(o[FORMAT], "cades") == 0;
    if (!v->raw && !v->cades && strcmp(o[FORMAT], "cms") != 0)
        return cli_usage("verify", "--format is raw, cms or cades, not %s",
                         o[FORMAT]);
    if (v->raw && o[CERT] == NULL)
        return cli_usage("verify", "--format raw needs --cert");
    if ((o[CERT] == NULL) == (o[CA] == NULL))
        return cli_usage("verify", "either --cert or --ca is needed");
    if (!v->raw && (o[DIGEST] != NULL || o[PSS] != NULL))
        return cli_usage("verify", "--digest and --pss are for raw: "
                                   "a CMS says itself how it was made");
    if (strcmp(o[IN], "-") == 0 && strcmp(o[SIG], "-") == 0)
        return cli_usage("verify", "--in and --sig cannot both be -");
    return CLI_OK;
}

static int open_files(struct verify *v)
{
    const char *const *o = v->option;
    const char *trusted = o[CERT] != NULL ? o[CERT] : o[CA];

    v->certs = sk_X509_new_null();
    if (v->certs == NULL || !certs_load(trusted, v->certs))
        return cli_fail("certificate %s", trusted);
    v->sig = strcmp(o[SIG], "-") == 0 ? BIO_new_fp(stdin, BIO_NOCLOSE)
                                      : BIO_new_file(o[SIG], "rb");
    if (v->sig == NULL)
        return cli_fail("cannot read %s", input_name(o[SIG]));
    if (!input_open(&v->in, o[IN]))
        return cli_fail("cannot read %s", input_name(o[IN]));
    return CLI_OK;
}

/* hash feeds ctx; a key that hashes by itself takes all of it at the end. */
static int raw_check(struct verify *v, BIO *hash, EVP_MD_CTX *ctx, BIO *sig)
{
    EVP_PKEY *key = X509_get0_pubkey(sk_X509_value(v->certs, 0));
    bool whole = signer_hashes_itself(key);
    const char *md = v->option[DIGEST];
    EVP_PKEY_CTX *pctx = NULL;
    BIO *mem = BIO_new(BIO_s_mem());
    unsigned char *s = NULL, *data = NULL;
    size_t len = (size_t)BIO_get_mem_data(sig, &s), n;
    int ok = 0;

    if (md == NULL && !whole)
        md = "sha256";
    if (mem == NULL || key == NULL ||
        EVP_DigestVerifyInit_ex(ctx, &pctx, md, NULL, NULL, key, NULL) <= 0 ||
        (v->option[PSS] != NULL && !signer_set_pss(pctx)) ||
        !signer_copy(v->in.bio, whole ? mem : hash,
                     whole ? SIGNER_WHOLE_MAX : 0))
        goto out;
    n = (size_t)BIO_get_mem_data(mem, &data);
    ok = (whole ? EVP_DigestVerify(ctx, s, len, data, n)
                : EVP_DigestVerifyFinal(ctx, s, len)) == 1;
out:
    BIO_free(mem);
    return ok;
}

static int verify_raw(struct verify *v)
{
    BIO *hash = BIO_push(BIO_new(BIO_f_md()), BIO_new(BIO_s_null()));
    BIO *sig = BIO_new(BIO_s_mem());
    EVP_MD_CTX *ctx = NULL;
    int ok = hash != NULL && sig != NULL && BIO_get_md_ctx(hash, &ctx) > 0 &&
             signer_copy(v->sig, sig, RAW_MAX) && raw_check(v, hash, ctx, sig);

    BIO_free(sig);
    BIO_free_all(hash);
    return ok;
}

static X509_STORE *trust(const struct verify *v)
{
    X509_STORE *store = X509_STORE_new();
    X509_VERIFY_PARAM *param = NULL;
    int i, ok = store != NULL;

    for (i = 0; ok && i < sk_X509_num(v->certs); i++) {
        ok = X509_STORE_add_cert(store, sk_X509_value(v->certs, i));
        /* Of --cert the first is the signer's; the rest is its chain. */
        if (v->option[CERT] != NULL)
            break;
    }
    if (ok) {
        param = X509_STORE_get0_param(store);
        /* Who signs documents has no S/MIME certificate. */
        ok = X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_ANY);
        if (v->option[CERT] != NULL)
            ok = ok &&
                 X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    }
    if (!ok) {
        X509_STORE_free(store);
        store = NULL;
    }
    return store;
}

static int verify_cms(struct verify *v)
{
    CMS_ContentInfo *cms = d2i_CMS_bio(v->sig, NULL);
    X509_STORE *store = trust(v);
    STACK_OF(X509) *signers = NULL;
    unsigned int flags = CMS_BINARY | CMS_DETACHED;
    int ok = 0;

    if (cms == NULL || store == NULL)
        goto out;
    if (v->cades)
        flags |= CMS_CADES;
    if (v->option[CERT] != NULL) {
        /* Nobody else may have signed, not even with its blessing. */
        signers = v->certs;
        flags |= CMS_NOINTERN;
    }
    ok = CMS_verify(cms, signers, store, v->in.bio, NULL, flags) == 1;
out:
    X509_STORE_free(store);
    CMS_ContentInfo_free(cms);
    return ok;
}

static int verify(struct verify *v)
{
    if (!(v->raw ? verify_raw(v) : verify_cms(v)))
        return cli_fail("signature %s is not valid",
                        input_name(v->option[SIG]));
    (void)fprintf(stderr, "signature is valid\n");
    return CLI_OK;
}

int cmd_verify(int argc, char **argv)
{
    static int (*const steps[])(struct verify *) = { check_options, open_files,
                                                     verify };
    struct verify v = { 0 };
    struct cli_values values;
    int status;
    size_t i;

    if (!cli_parse(&command, argc, argv, &values, &status))
        return status;
    v.option = values.option;
    for (i = 0; i < sizeof(steps) / sizeof(steps[0]) && status == CLI_OK; i++)
        status = steps[i](&v);
    input_close(&v.in);
    BIO_free(v.sig);
    sk_X509_pop_free(v.certs, X509_free);
    return status;
}
