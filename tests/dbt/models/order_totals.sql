{{ config(materialized='table') }}
select o.customer_id, c.name, count(*) as orders, sum(o.amount) as total
from {{ ref('stg_orders') }} o
join {{ ref('customers') }} c on c.id = o.customer_id
group by o.customer_id, c.name
