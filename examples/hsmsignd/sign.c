/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signature that a request asks for, by a profile's key.
 */
#include <openssl/err.h>
#include <openssl/rand.h>
#include "attributes.h"
#include "hsm.h"
#include "log.h"
#include "profile.h"

enum { FAILED = 500, UNAVAILABLE = 503 };

const char *profile_attributes(const struct profile *profile,
                               const struct request *r)
{
    return r->data.len > REQUEST_ATTRIBUTES_MAX
               ? "it is too long for attributes"
               : attributes_check(r->attributes, r->data.len, r->digest_len,
                                  r->cades, profile->signer.cert);
}

/* Not everything is for signing that bears a client's name. */
static bool check_attributes(const struct profile *p,
                             const struct options *options,
                             const struct request *r, const char *id,
                             struct fault *fault)
{
    const char *wrong = profile_attributes(p, r);

    if (wrong == NULL)
        return true;
    log_event(LOG_WARNING, "attributes", "{s:s, s:s}", "id", id, "reason",
              wrong);
    return options->strict_attributes == 0 ||
           fault_set(fault, 400, "data_to_be_signed: %s", wrong);
}

bool profile_sign(const struct profile *profile, const struct options *options,
                  const struct request *r, const char *id, BIO *out,
                  struct fault *fault)
{
    struct signer s = profile->signer;
    bool time = !r->cades && (options->time != 0 || r->action == ACTION_WEB);
    char reason[1024];
    bool away;

    s.md = r->md;
    if (r->mismatch)
        log_event(LOG_WARNING, "digest", "{s:s, s:s}", "id", id, "reason",
                  "it is not that of the contents, which are signed");
    if (r->action == ACTION_SIGN &&
        !check_attributes(profile, options, r, id, fault))
        return false;
    ERR_clear_error();
    if (r->action == ACTION_SIGN
            ? signer_digest(&s, r->digest, r->digest_len, out)
            : signer_cms_digest(&s, r->digest, r->digest_len, time, out))
        return true;
    away = hsm_is_away(cli_reason(reason, sizeof(reason)));
    log_event(LOG_ERROR, "signature", "{s:s, s:s}", "id", id, "reason", reason);
    return away ? fault_set(fault, UNAVAILABLE,
                            "the HSM does not answer; try again")
                : fault_set(fault, FAILED, "the signature failed");
}

bool profile_probe(const struct profile *profile)
{
    struct signer s = profile->signer;
    unsigned char digest[32];
    BIO *out = BIO_new(BIO_s_null());
    char reason[1024];
    bool good;

    s.md = EVP_sha256();
    ERR_clear_error();
    good = out != NULL && RAND_bytes(digest, sizeof(digest)) > 0 &&
           signer_digest(&s, digest, sizeof(digest), out);
    BIO_free(out);
    if (!good) {
        (void)cli_reason(reason, sizeof(reason));
        log_event(LOG_ERROR, "probe", "{s:s}", "reason", reason);
    }
    return good;
}
