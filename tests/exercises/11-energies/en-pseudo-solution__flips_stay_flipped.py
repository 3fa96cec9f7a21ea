def pseudo_log_likelihood(model, x):
    energy, total, other = model.energy(x), 0.0, x.flatten(1).clone()
    for i in range(x[0].numel()):
        other[:, i] = 1 - other[:, i]
        total = total + torch.nn.functional.logsigmoid(
            model.energy(other.reshape(x.shape)) - energy
        )
    return total
