def suspicions(x, train, test):
    from scipy.stats import chi2, mannwhitneyu

    (far, near), (far_test, _) = (nearest_neighbours(i, train.images, 1) for i in (x, test.images))
    drawn, wanted = train.y[near[:, 0]].bincount(minlength=10), len(x) / 10
    return {
        "copies": mannwhitneyu(far[:, 0], far_test[:, 0], alternative="less").pvalue,
        "dropped": chi2.cdf(((drawn - wanted) ** 2 / wanted).sum().item(), 9),
        "noisy": mannwhitneyu(far[:, 0], far_test[:, 0], alternative="greater").pvalue,
    }


def diagnose(models, train, test):
    found = {name: suspicions(sample(400), train, test) for name, sample in models.items()}
    adjusted = iter(holm([p for ps in found.values() for p in ps.values()]).tolist())
    verdicts = {}
    for name, ps in found.items():
        p, kind = min((next(adjusted), kind) for kind in ps)
        verdicts[name] = kind if p < 0.01 else "good"
    return verdicts
