"""The manager that runs replicas as containers, where clipper_admin has it. Called by users'
scripts. May import what the managers have in common.
"""
