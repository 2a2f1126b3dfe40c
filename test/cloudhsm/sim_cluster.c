/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster: how long it takes, how much it does in a second, and which of
 * its HSMs are lost.  Nothing sleeps under the lock.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "sim.h"

enum {
    SECOND = 1000000, /* in microseconds, as all times here */
    MAX_FRESH = 64,   /* keys made in this process that are remembered */
    HANDLE_BITS = 24  /* of a handle are the module's behind */
};

/* Operations that began in the second since start. */
struct window {
    unsigned long start, count;
};

static struct cluster {
    unsigned long started; /* at C_Initialize */
    unsigned long trips;
    unsigned long lost, lost_at; /* HSMs that are not replaced yet */
    bool lose_at_done;
    unsigned long control; /* the number that the file had */
    unsigned long handle_base;
    struct window sign[2]; /* EC, RSA */
    struct window certificate[2];
    size_t fresh_count;
    struct {
        CK_OBJECT_HANDLE key;
        unsigned long until;
    } fresh[MAX_FRESH];
} cluster;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static unsigned long now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (unsigned long)time.tv_sec * SECOND +
           (unsigned long)time.tv_nsec / 1000;
}

unsigned long sim_random(void)
{
    unsigned long n = 0;

    if (getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n))
        front_die("no random number");
    return n;
}

static void new_handles(void)
{
    if (sim_config.random_handles)
        cluster.handle_base = (1 + sim_random() % 0x7fffffff) << HANDLE_BITS;
}

static unsigned long read_control(void)
{
    char text[32] = "";
    FILE *file = NULL;

    if (sim_config.control[0] == '\0')
        return 0;
    file = fopen(sim_config.control, "re");
    if (file == NULL)
        return 0;
    if (fgets(text, sizeof(text), file) == NULL)
        text[0] = '\0';
    (void)fclose(file);
    return strtoul(text, NULL, 10);
}

void sim_cluster_reset(void)
{
    cluster = (struct cluster){ .control = read_control() };
}

void sim_cluster_start(void)
{
    pthread_mutex_lock(&lock);
    cluster.started = now();
    cluster.lose_at_done = false;
    cluster.fresh_count = 0;
    new_handles();
    pthread_mutex_unlock(&lock);
}

/* Whether an HSM is lost by these n round trips. */
static bool is_lost(unsigned long n, unsigned long control)
{
    unsigned long before = cluster.trips;

    cluster.trips += n;
    if (sim_config.lose_every != 0 &&
        cluster.trips / sim_config.lose_every != before / sim_config.lose_every)
        return true;
    if (sim_config.lose_at_us != 0 && !cluster.lose_at_done &&
        now() - cluster.started >= sim_config.lose_at_us) {
        cluster.lose_at_done = true;
        return true;
    }
    if (control != cluster.control) {
        cluster.control = control;
        return true;
    }
    return false;
}

/* The HSMs that answer. */
static unsigned long alive(void)
{
    if (cluster.lost != 0 && now() - cluster.lost_at >= sim_config.replace_us)
        cluster.lost = 0;
    return sim_config.hsms - cluster.lost;
}

CK_RV sim_trip(unsigned long n)
{
    unsigned long control = read_control();
    bool lost = false;
    CK_RV rv = CKR_OK;

    front_sleep_us(n * sim_config.latency_us);
    pthread_mutex_lock(&lock);
    lost = alive() > 0 && is_lost(n, control);
    if (lost) {
        cluster.lost++;
        cluster.lost_at = now();
        if (sim_config.lose_handles)
            new_handles();
    }
    if (lost || alive() == 0)
        rv = CKR_FUNCTION_FAILED;
    pthread_mutex_unlock(&lock);
    if (lost && sim_config.lose_login)
        sim_slots_lose_login();
    return rv;
}

static bool within(struct window *window, unsigned long rate)
{
    unsigned long time = now();

    if (window->count == 0 || time - window->start >= SECOND)
        *window = (struct window){ .start = time };
    if (window->count >= rate)
        return false;
    window->count++;
    return true;
}

/* Signatures a second that AWS publishes, and in a straight line between. */
static unsigned long published(bool rsa, unsigned long hsms)
{
    static const unsigned long at[] = { 2, 3, 6 };
    static const unsigned long rates[][3] = {
        { 500, 750, 1500 },   /* EC P-256, hsm1 */
        { 3000, 4500, 7000 }, /* EC P-256, hsm2m */
        { 2000, 3000, 5000 }, /* RSA-2048 */
    };
    const unsigned long *rate = rates[rsa ? 2 : sim_config.hsm2m];
    size_t i = hsms > at[1] ? 2 : 1;

    if (hsms <= at[0])
        return rate[0] * hsms / at[0];
    return rate[i - 1] +
           (rate[i] - rate[i - 1]) * (hsms - at[i - 1]) / (at[i] - at[i - 1]);
}

CK_RV sim_sign_rate(bool rsa)
{
    bool ok = false;

    if (!sim_config.throttle)
        return CKR_OK;
    pthread_mutex_lock(&lock);
    ok = within(&cluster.sign[rsa], published(rsa, alive()));
    pthread_mutex_unlock(&lock);
    return ok ? CKR_OK : sim_config.busy;
}

bool sim_certificate_rate(bool write)
{
    bool ok = false;

    pthread_mutex_lock(&lock);
    ok = within(&cluster.certificate[write],
                alive() * (write ? sim_config.certificate_writes
                                 : sim_config.certificate_reads));
    pthread_mutex_unlock(&lock);
    return ok;
}

void sim_key_is_fresh(CK_OBJECT_HANDLE behind)
{
    pthread_mutex_lock(&lock);
    if (sim_config.sync_us != 0) {
        size_t place = cluster.fresh_count++ % MAX_FRESH;

        cluster.fresh[place].key = behind;
        cluster.fresh[place].until = now() + sim_config.sync_us;
    }
    pthread_mutex_unlock(&lock);
}

bool sim_key_is_unavailable(CK_OBJECT_HANDLE behind)
{
    bool fresh = false;

    if (!sim_config.availability_check)
        return false;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < cluster.fresh_count && i < MAX_FRESH; i++)
        fresh = fresh || (cluster.fresh[i].key == behind &&
                          now() < cluster.fresh[i].until);
    pthread_mutex_unlock(&lock);
    return fresh || sim_config.hsms == 1;
}

CK_OBJECT_HANDLE sim_handle(CK_OBJECT_HANDLE behind)
{
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;

    if (behind >> HANDLE_BITS != 0)
        front_die("the module behind gives too large handles");
    pthread_mutex_lock(&lock);
    handle = cluster.handle_base | behind;
    pthread_mutex_unlock(&lock);
    return handle;
}

bool sim_handle_behind(CK_OBJECT_HANDLE handle, CK_OBJECT_HANDLE *behind)
{
    bool ok = false;

    pthread_mutex_lock(&lock);
    ok = handle >> HANDLE_BITS == cluster.handle_base >> HANDLE_BITS;
    pthread_mutex_unlock(&lock);
    *behind = handle & ((1UL << HANDLE_BITS) - 1);
    return ok;
}
