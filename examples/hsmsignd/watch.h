/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a file has changed since it was read.  Files are looked at, by name,
 * since what is mounted into a container is replaced by links that no
 * notification follows.
 */
#ifndef HSMSIGND_WATCH_H
#define HSMSIGND_WATCH_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a file of that name in a directory is read. */
typedef bool watch_takes(const char *name);

struct watched {
    char *path;         /* owned */
    watch_takes *takes; /* NULL: it is a file */
};

/* All zero is empty. */
struct watch {
    unsigned long long seen; /* how the files looked */
    struct watched *list;    /* n of them, owned */
    size_t n;
};

/* A file, before it is read.  NULL: none. */
void watch_add(struct watch *watch, const char *path);
/* The files in a directory that takes says are read.  NULL: none. */
void watch_add_directory(struct watch *watch, const char *path,
                         watch_takes *takes);
/* Whether anything looks otherwise than when it was added. */
bool watch_changed(const struct watch *watch);
/* It is empty then. */
void watch_clear(struct watch *watch);

#endif
