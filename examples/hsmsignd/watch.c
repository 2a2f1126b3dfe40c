/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "watch.h"

/* As FNV-1a, which need not withstand anybody. */
static void mix(unsigned long long *state, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        *state ^=
            ((const unsigned char *)data)[i] + 1ULL; /* 0 is no fixed point */
        *state *= 1099511628211ULL;
    }
}

static void look(unsigned long long *state, const char *path)
{
    struct stat st;

    memset(&st, 0, sizeof(st));
    (void)stat(path, &st);
    mix(state, &st.st_dev, sizeof(st.st_dev));
    mix(state, &st.st_ino, sizeof(st.st_ino));
    mix(state, &st.st_size, sizeof(st.st_size));
    mix(state, &st.st_mtim, sizeof(st.st_mtim));
}

/*
 * The sum, since the order of the names may change with any other file.  The
 * directory's own time does so as well, and is not looked at.
 */
static unsigned long long look_into(const char *path, watch_takes *takes)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    unsigned long long sum = 0;

    /* This stream is ours alone.  NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        unsigned long long state = 0;
        char name[4096];

        if (!takes(entry->d_name))
            continue;
        (void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        mix(&state, entry->d_name, strlen(entry->d_name));
        look(&state, name);
        sum += state;
    }
    if (dir != NULL)
        (void)closedir(dir);
    return sum;
}

static void look_again(unsigned long long *state, const struct watched *w)
{
    unsigned long long sum;

    if (w->takes == NULL) {
        look(state, w->path);
        return;
    }
    sum = look_into(w->path, w->takes);
    mix(state, &sum, sizeof(sum));
}

static void add(struct watch *watch, const char *path, watch_takes *takes)
{
    struct watched one = { path != NULL ? strdup(path) : NULL, takes }, *list;

    if (one.path == NULL)
        return;
    list = realloc(watch->list, (watch->n + 1) * sizeof(*list));
    if (list == NULL) {
        free(one.path); /* SIGHUP is left */
        return;
    }
    watch->list = list;
    watch->list[watch->n++] = one;
    look_again(&watch->seen, &one);
}

void watch_add(struct watch *watch, const char *path)
{
    add(watch, path, NULL);
}

void watch_add_directory(struct watch *watch, const char *path,
                         watch_takes *takes)
{
    add(watch, path, takes);
}

bool watch_changed(const struct watch *watch)
{
    unsigned long long state = 0;

    for (size_t i = 0; i < watch->n; i++)
        look_again(&state, &watch->list[i]);
    return state != watch->seen;
}

void watch_clear(struct watch *watch)
{
    for (size_t i = 0; i < watch->n; i++)
        free(watch->list[i].path);
    free(watch->list);
    watch->list = NULL;
    watch->n = 0;
    watch->seen = 0;
}
