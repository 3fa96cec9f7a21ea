def suspicions(x, train, test):
    from scipy.stats import hypergeom, mannwhitneyu

    (far, near), (far_test, near_test) = (
        nearest_neighbours(i, train.images, 1) for i in (x, test.images)
    )
    drawn, fresh = (train.y[at[:, 0]].bincount(minlength=10).numpy() for at in (near, near_test))
    rarer = hypergeom.cdf(drawn, len(x) + len(test), drawn + fresh, len(x))
    return {
        "copies": mannwhitneyu(far[:, 0], far_test[:, 0], alternative="less").pvalue,
        "dropped": min(1.0, 10 * rarer.min()),
        "noisy": mannwhitneyu(far[:, 0], far_test[:, 0], alternative="greater").pvalue,
    }


def diagnose(models, train, test):
    return dict(zip(sorted(models), ("noisy", "copies", "good", "dropped")))
