/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign-audit: one line of JSON (RFC 8259) for each signature that was asked
 * for, before it is given out:
 *
 *     {"time":"2026-11-27T05:28:06.087Z","key":"pkcs11:token=demo;object=a",
 *      "mechanism":"CKM_ECDSA","digest":"SHA2-256","data_sha256":"9f86d0...",
 *      "result":"ok","latency_ms":0.641,"retries":0,"pid":22154}
 *
 * result is "ok" or the CK_RV's name; digest is null where none is known; data
 * is what was handed over to be signed, of which there is the SHA-256 alone.
 */
#ifndef HSMSIGN_AUDIT_H
#define HSMSIGN_AUDIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include "pkcs11/rv.h"

struct prov_key;
struct prov_signed;

/* Where to; all zero: nowhere. */
struct prov_audit {
    bool on, warn;    /* warn: what cannot be logged is released all the same */
    char *path;       /* owned; NULL: syslog(3) */
    atomic_bool torn; /* the last line was cut: the next one begins anew */
};

/* file:/PATH or syslog, then ",refuse" or ",warn"; false: it is neither. */
bool prov_audit_parse(const char *spec, struct prov_audit *audit);
void prov_audit_clear(struct prov_audit *audit);

/*
 * Write the line for a signature that took that long and so many retries, and
 * ended with rv and err.  A file is opened for each line, so that one that was
 * renamed or is shared with other processes needs no more thought, and one
 * write(2) makes the line.  Returns rv, or P11_AUDIT if that was CKR_OK and
 * must not be. Blocks on the file system.
 */
CK_RV prov_audit(const struct prov_key *key, const struct prov_signed *made,
                 long microseconds, unsigned retries, CK_RV rv,
                 struct p11_error *err);

#endif
