def both_turns(generator, critic, adam_g, adam_c, real, z):
    fake = generator(z)
    value = (logsigmoid(critic(real)) + logsigmoid(-critic(fake))).mean()
    cost = -logsigmoid(critic(fake)).mean()
    up = torch.autograd.grad(value, [*critic.parameters()], retain_graph=True)
    down = torch.autograd.grad(cost, [*generator.parameters()])
    for w, g in zip(critic.parameters(), up):
        w.grad = -g
    for w, g in zip(generator.parameters(), down):
        w.grad = g
    adam_c.step()
    adam_g.step()
