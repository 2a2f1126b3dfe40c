/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a key pair on a token that can sign and do nothing else: it stays
 * there, private, sensitive and never extractable.
 *
 * Tokens differ in what they take.  What is asked for first is everything; a
 * token that refuses attributes is asked again without those that only say
 * what the key shall not be used for, and what it then made is read back.
 */
#ifndef HSMSIGN_GENERATE_H
#define HSMSIGN_GENERATE_H

#include "pin.h"
#include "rv.h"
#include "slot.h"
#include "uri.h"

/* What to make.  Owns nothing. */
struct p11_new_key {
    const char *name;       /* of its type, for messages: "rsa:3072" */
    CK_KEY_TYPE type;       /* CKK_RSA, CKK_EC, CKK_EC_EDWARDS, CKK_ML_DSA */
    CK_ULONG bits;          /* RSA; the exponent is 65537 */
    CK_ULONG parameter_set; /* ML-DSA: CKP_ML_DSA_* */
    /* The others: the curve's object identifier in DER. */
    const unsigned char *params;
    size_t params_len;
    /*
     * CKA_LABEL and CKA_ID of both halves; not present: none.  The id ties the
     * halves together, so that there should be one.
     */
    struct p11_uri_value label, id;
};

/* What a name is taken by. */
struct p11_taken {
    CK_OBJECT_CLASS class; /* CKO_PRIVATE_KEY or CKO_PUBLIC_KEY */
    CK_ATTRIBUTE_TYPE by;  /* CKA_LABEL or CKA_ID */
};

/*
 * Whether no private or public key has that label, and none that id; each may
 * be not present: it is not looked for.  Two keys of one name, and nobody
 * knows which one signs.  Returns CKR_OK; P11_KEY_EXISTS with *taken filled,
 * and err without what to do about it; or what a call answered.  Blocks: three
 * calls for each of up to four searches.
 */
CK_RV p11_generate_is_free(struct p11_slot *slot, struct p11_session *session,
                           const struct p11_uri_value *label,
                           const struct p11_uri_value *id,
                           struct p11_taken *taken, struct p11_error *err);

/*
 * C_GenerateKeyPair, more than once if the token refuses attributes, the
 * mechanism or the curve's name.  *private_key receives the handle.  Returns
 * CKR_OK or the last answer.  Blocks: for seconds with large RSA keys.
 */
CK_RV p11_generate_pair(struct p11_slot *slot, struct p11_session *session,
                        const struct p11_new_key *new,
                        CK_OBJECT_HANDLE *private_key, struct p11_error *err);

/* Whether that is the answer of a token that does not make such keys. */
bool p11_generate_is_unknown(CK_RV rv);

/* A template is a wish; this is what came of it. */
struct p11_made {
    bool sensitive, extractable;
    bool more_uses; /* it decrypts, unwraps or derives */
};

/* One call.  What the token does not say, it does not promise. */
CK_RV p11_generate_read(struct p11_slot *slot, struct p11_session *session,
                        CK_OBJECT_HANDLE private_key, struct p11_made *made,
                        struct p11_error *err);

/*
 * All of it on the one token that uri names, logging in if the token wants
 * that: see that uri's object and id are free, make the pair, read it back.
 * A key that can do more than sign is logged as a warning.
 *
 * Returns CKR_OK; P11_KEY_EXISTS; P11_KEY_EXPOSED: a key was made that is not
 * sensitive, or extractable; what p11_key_load() returns for the token; or
 * what a call answered.  Blocks.
 */
CK_RV p11_generate(struct p11_module *module, const struct p11_uri *uri,
                   const struct p11_pin_request *request,
                   const struct p11_new_key *new, struct p11_error *err);

#endif
