def deviations(estimator, problem, parameter, truth, draws=20_000, k=4):
    samples = estimators.gradient_samples(estimator, problem, [parameter], draws, k)[0]
    error = (samples.var(0) / len(samples)).sqrt()
    return (samples - truth).mean(0) / error


def unbiased():
    return ["C"]
