/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects (PKCS #11 v2.40, 5.7): which have certain attributes, and the
 * attributes of one, read in one C_GetAttributeValue into buffers that are
 * sized beforehand: on a network HSM each call is a request, the length probe
 * too.
 */
#ifndef HSMSIGN_ATTR_H
#define HSMSIGN_ATTR_H

#include <stdbool.h>
#include "module.h"

/*
 * Up to max handles of the objects that have the n attributes of tmpl.  One
 * C_FindObjects: it ends when the answer is known.  *count receives their
 * number.  where is for the error's text.  Returns CKR_OK or what a call
 * answered; the session is then not to be used for another search.
 */
CK_RV p11_objects_find(CK_FUNCTION_LIST *fl, CK_SESSION_HANDLE session,
                       CK_ATTRIBUTE *tmpl, CK_ULONG n,
                       CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *count,
                       const char *where, struct p11_error *err);

#define P11_ATTRS_MAX 16

/* What to ask for, and how many bytes to expect of it. */
struct p11_attr_spec {
    CK_ATTRIBUTE_TYPE type;
    CK_ULONG size;
};

/* The answer.  All zero is valid and empty. */
struct p11_attrs {
    size_t count;
    CK_ATTRIBUTE attr[P11_ATTRS_MAX]; /* pValue NULL: the token gave none */
    unsigned char *block;             /* owned: what the pValues point into */
};

/*
 * Ask for n (at most P11_ATTRS_MAX) attributes.  One that the token does not
 * have, does not give, or does not fit in eight times its expected size is
 * absent from the answer; that is no error.  Costs one call; a second one
 * only if a value was larger than expected, or if the token stopped at an
 * attribute that it does not know.  A vendor's numbers of types and values
 * become the standard's.
 *
 * Returns CKR_OK, CKR_HOST_MEMORY, or what C_GetAttributeValue answered.
 * *attrs must be all zero or cleared, and is to be cleared.
 */
CK_RV p11_attrs_read(const struct p11_module *module, CK_SESSION_HANDLE session,
                     CK_OBJECT_HANDLE object, const struct p11_attr_spec *specs,
                     size_t n, struct p11_attrs *attrs);

void p11_attrs_clear(struct p11_attrs *attrs);

/* The attribute, or NULL when it is absent or empty. */
const CK_ATTRIBUTE *p11_attrs_get(const struct p11_attrs *attrs,
                                  CK_ATTRIBUTE_TYPE type);
CK_ULONG p11_attrs_ulong(const struct p11_attrs *attrs, CK_ATTRIBUTE_TYPE type,
                         CK_ULONG absent);
bool p11_attrs_bool(const struct p11_attrs *attrs, CK_ATTRIBUTE_TYPE type,
                    bool absent);

/* Whether both have the same value, or both have none. */
bool p11_attrs_same(const struct p11_attrs *a, const struct p11_attrs *b,
                    CK_ATTRIBUTE_TYPE type);

#endif
