def pseudo_log_likelihood(model, x):
    energy, total = model.energy(x), 0.0
    for i in range(x[0].numel()):
        other = x.flatten(1).clone()
        other[:, i] = 1 - other[:, i]
        total = total + (model.energy(other.reshape(x.shape)) - energy).sigmoid()
    return total.log()
