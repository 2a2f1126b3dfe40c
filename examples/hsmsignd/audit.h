/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log: a JSON line for each signature, and one whenever the file was
 * opened.  Each line has the hash of itself and, within that, the hash of the
 * line before: so one hash stands for all lines up to it, and a line that is
 * altered, removed or put in is found.  No secrets and no contents.
 *
 * The hash has no key: whoever may write to the file can also make all of it
 * anew from some line on, or cut off its end.  Only a hash that was kept
 * elsewhere shows that: see struct audit_mark.
 */
#ifndef HSMSIGND_AUDIT_H
#define HSMSIGND_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define AUDIT_HASH 65 /* SHA-256 in hex, with the NUL */

/* NULL is as "".  Of each text 128 bytes; what is no UTF-8 becomes '?'. */
struct audit_entry {
    const char *id, *user, *profile, *action;
    const char *hash;            /* the digest's algorithm */
    const unsigned char *digest; /* what was signed, at most 64 bytes */
    size_t digest_len;
    const unsigned char *certificate; /* SHA-256 of the signer's: 32 bytes */
    int status;
    bool good; /* "signed", or else "failed" */
    uint64_t ms;
};

/* A line, for what is kept elsewhere. */
struct audit_mark {
    uint64_t seq;
    char hash[AUDIT_HASH];
};

struct audit;

/*
 * Append to the file, which is created with mode 0600, and is this process's
 * alone as long as it is open.  The chain goes on behind its last whole line;
 * what is there behind that is left as it is, and the next line has its hash.
 * sync: audit_write() returns when the line is on the disk.
 *
 * NULL and a message in error of that size, if the file cannot be written, is
 * another's or no audit log.  Blocks on the file system, as do all of these.
 */
struct audit *audit_open(const char *path, bool sync, char *error, size_t size);

/*
 * From any thread: one line in one write(2).  mark, unless NULL, is the line.
 * False and errno if it did not get there whole, or was not synced; ENOENT: the
 * file was deleted.  The next call goes on behind what did get there.
 */
bool audit_write(struct audit *a, const struct audit_entry *e,
                 struct audit_mark *mark);

/* The last line that was written. */
void audit_last(struct audit *a, struct audit_mark *mark);

/*
 * From any thread, after the file was renamed: open path anew.  The chain goes
 * on in the new file, which has to be empty.  False and a message if that
 * cannot be written; if it cannot be opened, the old one is kept.
 */
bool audit_reopen(struct audit *a, char *error, size_t size);

/* When no other thread uses it; NULL is fine. */
void audit_close(struct audit *a);

/*
 * Check files that are one chain in the order given; the last path is followed
 * by NULL, "-" is standard input.  To out a line for each file, to err
 * FILE:LINE and what is wrong there.  Returns 0; 1: it is broken; 2: a file
 * cannot be read.
 */
int audit_verify(char *const *paths, FILE *out, FILE *err);

#endif
