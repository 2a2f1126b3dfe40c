/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign verify: checks what hsmsign sign, or another program, has made.  It
 * needs neither token nor provider, only the public key in a certificate.
 */
#include <stdio.h>
#include <string.h>
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

struct verify {
    const char *const *option;
    struct check check;
    STACK_OF(X509) * certs; /* of --cert, or of --ca */
    struct input in;
    BIO *sig;
};

static int check_options(struct verify *v)
{
    const char *const *o = v->option;

    v->check.raw = strcmp(o[FORMAT], "raw") == 0;
    v->check.cades = strcmp(o[FORMAT], "cades") == 0;
    if (!v->check.raw && !v->check.cades && strcmp(o[FORMAT], "cms") != 0)
        return cli_usage("verify", "--format is raw, cms or cades, not %s",
                         o[FORMAT]);
    if (v->check.raw && o[CERT] == NULL)
        return cli_usage("verify", "--format raw needs --cert");
    if ((o[CERT] == NULL) == (o[CA] == NULL))
        return cli_usage("verify", "either --cert or --ca is needed");
    if (!v->check.raw && (o[DIGEST] != NULL || o[PSS] != NULL))
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

/* Of --cert the first certificate is the signer's; the rest is its chain. */
static int verify(struct verify *v)
{
    const char *const *o = v->option;
    struct check *c = &v->check;

    c->md = o[DIGEST];
    c->pss = o[PSS] != NULL;
    if (c->raw) {
        c->key = X509_get0_pubkey(sk_X509_value(v->certs, 0));
    } else {
        c->store = check_trust(v->certs, o[CERT] != NULL, false);
        c->signers = o[CERT] != NULL ? v->certs : NULL;
    }
    if (!check_detached(c, v->in.bio, v->sig))
        return cli_fail("signature %s is not valid", input_name(o[SIG]));
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
    X509_STORE_free(v.check.store);
    sk_X509_pop_free(v.certs, X509_free);
    return status;
}
